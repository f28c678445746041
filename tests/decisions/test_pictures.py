"""The picture on a decision's page in the console."""

import re

import pytest
from django.urls import reverse

from decisions.models import DecisionRecord
from decisions.pictures import candidates_picture
from tests.factories import AgentFactory

HERE, THERE = "m5.large.us-east-1a", "m5.large.us-east-1b"
CANDIDATES = [
    {"pool_id": HERE, "price": 0.04, "risk_cost": 0.04, "reason": "it is here"},
    {"pool_id": THERE, "price": 0.03, "risk_cost": 0.0, "reason": "<cheapest>"},
    {"pool_id": "m5.large.us-east-1c", "price": None, "risk_cost": None, "reason": "no price"},
    {"pool_id": None, "price": 0.08, "risk_cost": 0.0, "reason": "dearer"},
]


def widths(picture):
    return [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', picture)]


def test_bars_are_as_long_as_the_costs_are_large():
    price, risk, cheap, _, unknown, _, ondemand, _ = widths(candidates_picture(CANDIDATES, here=HERE, target=THERE))
    assert price == risk == ondemand / 2
    assert cheap == pytest.approx(price * 3 / 4, abs=0.1)
    assert unknown == 0


def test_it_tells_which_is_which_and_what_is_not_known():
    picture = candidates_picture(CANDIDATES, here=HERE, target=THERE)
    assert f"{HERE} (here)" in picture
    assert f"{THERE} (chosen)" in picture
    assert "price unknown" in picture
    assert "&lt;cheapest&gt;" in picture
    assert "on-demand<" in picture


@pytest.mark.parametrize(("here", "marked"), [("", True), (None, False)])
def test_on_demand_is_marked_where_the_agent_is_there(here, marked):
    assert ("on-demand (here)" in candidates_picture(CANDIDATES, here=here, target=None)) == marked


def test_without_candidates_there_is_no_picture():
    assert candidates_picture([], here=None, target=None) == "–"


@pytest.mark.django_db
def test_a_decisions_page_shows_it(admin_client):
    agent = AgentFactory()
    record = DecisionRecord.objects.create(
        client=agent.client,
        agent=agent,
        decision_type="stay",
        current_mode="spot",
        current_pool_id=HERE,
        reason="no place is better",
        details={"candidates": [{"verdict": "kept", **one} for one in CANDIDATES]},
    )
    page = admin_client.get(reverse("admin:decisions_decisionrecord_change", args=[record.pk])).content.decode()
    assert f"{HERE} (here)" in page
    assert "(chosen)" not in page
