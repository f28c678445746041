"""The server's own dashboard at /dashboard/: what it says, what it costs, and that it needs nothing from elsewhere."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.contrib.staticfiles import finders
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from analytics.models import ClientDay
from instances.models import InterruptionEpisode, Switch
from spotopt.common import clock
from spotopt.common.fields import Mode
from tests.factories import (
    AgentFactory,
    ClientFactory,
    InstanceFactory,
    InterruptionEpisodeFactory,
    PoolFactory,
    SwitchFactory,
    SystemEventFactory,
)

pytestmark = pytest.mark.django_db

MAX_QUERIES = 30


@pytest.fixture(autouse=True)
def _noon():
    with time_machine.travel("2026-03-10 12:00Z", tick=False):
        yield


@pytest.fixture
def operator(client, staff, _noon):
    client.force_login(staff)
    return client


def page(operator, **query):
    answer = operator.get("/dashboard/", query)
    assert answer.status_code == 200
    return answer.content.decode()


def words(html):
    """As one reads it."""
    text = re.sub(r"<(title|svg|option)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def tile(html, name):
    return next(words(t) for t in re.findall(r'<div class="tile.*?</div>', html, re.DOTALL) if f"<h2>{name}</h2>" in t)


def spend(client, day, *, baseline, paid, hours=24, priced=24):
    ClientDay.objects.create(
        client=client,
        day=day,
        seconds=hours * 3600,
        priced_seconds=priced * 3600,
        baseline_usd=Decimal(baseline),
        paid_usd=Decimal(paid),
    )


def test_an_empty_server_says_so_and_shows_no_invented_figure(operator):
    html = page(operator)
    assert tile(html, "Agents online") == "Agents online 0 / 0 none yet"
    assert tile(html, "Saved so far") == "Saved so far – nothing priced yet"
    assert "No agent has reported prices yet." in html
    assert "All agents are heard, no interruption is open." in html
    assert "Nothing has happened yet." in html


def test_tiles_count_the_fleet(operator):
    client = ClientFactory()
    AgentFactory(client=client)
    AgentFactory(client=client, current_mode=Mode.ONDEMAND)
    AgentFactory(client=client, status=Agent.Status.OFFLINE)
    AgentFactory(client=client, status=Agent.Status.DELETED, primary=False)
    InterruptionEpisodeFactory(agent=Agent.objects.first())
    html = page(operator)
    assert tile(html, "Agents online") == "Agents online 2 / 3 2 online, 1 offline"
    assert tile(html, "Instances") == "Instances 3 2 spot, 1 on-demand"
    assert tile(html, "Open interruptions").startswith("Open interruptions 1")


def test_a_drill_is_no_interruption_but_is_listed_as_what_it_is(operator):
    InterruptionEpisodeFactory(is_drill=True, deadline_at=clock.now() + timedelta(seconds=90))
    html = page(operator)
    assert tile(html, "Open interruptions").startswith("Open interruptions 0")
    assert "drill" in html
    assert "1\xa0minute left" in html


def test_switches_of_the_last_day_are_counted_by_trigger(operator):
    SwitchFactory(trigger=Switch.Trigger.EMERGENCY)
    SwitchFactory(trigger=Switch.Trigger.MANUAL)
    SwitchFactory(created_at=clock.now() - timedelta(days=2))
    assert tile(page(operator), "Switches, last 24 h") == "Switches, last 24 h 2 1 emergency, 1 manual"


def test_savings_are_those_of_all_clients_and_say_how_much_is_known(operator):
    one, other = ClientFactory.create_batch(2)
    spend(one, "2026-03-01", baseline="1000", paid="400")
    spend(other, "2026-03-02", baseline="1000", paid="600", priced=12)
    spend(one, "2025-01-31", baseline="500", paid="600")  # before the chart begins, and a loss
    html = page(operator)
    month, ever = tile(html, "Saved this month"), tile(html, "Saved so far")
    assert month == "Saved this month $1,000.00 50.0 % of $2,000.00 prices known for 75 % of the time"
    assert ever.startswith("Saved so far $900.00 36.0 % of $2,500.00")


def test_a_loss_is_shown_as_one(operator):
    spend(ClientFactory(), "2026-03-10", baseline="1", paid="3.5")
    html = page(operator)
    assert tile(html, "Saved this month").startswith("Saved this month −$2.50 -250.0 % of $1.00")
    assert html.count('class="tile bad"') == 2  # this month and so far
    assert html.count('class="mark"') == 1  # what on-demand would have cost, which the bar of what was paid hides


def test_the_cost_chart_has_a_bar_per_day_or_month_and_a_table_beside_it(operator):
    client = ClientFactory()
    spend(client, "2026-03-09", baseline="10", paid="4")
    spend(client, "2026-03-10", baseline="20", paid="5")
    daily, monthly = page(operator), page(operator, savings="monthly")
    assert daily.count('class="bar-pair"') == 30
    assert "Mar 9: on-demand $10.00, paid $4.00, saved $6.00" in daily
    assert "Feb 20: nothing with a known price" in daily
    assert monthly.count('class="bar-pair"') == 12
    assert "Mar 2026: on-demand $30.00, paid $9.00, saved $21.00" in monthly
    assert "Mar 2026 $30.00 $9.00 $21.00 100 %" in words(monthly)


def test_prices_are_drawn_where_most_instances_run_unless_asked_otherwise(operator):
    for az in "ab":
        PoolFactory(instance_type="m5.large", az=f"us-east-1{az}", price=Decimal("0.0350"))
    PoolFactory(instance_type="c5.large", price=Decimal("0.0210"))
    InstanceFactory.create_batch(2, instance_type="m5.large")
    InstanceFactory(instance_type="c5.large")
    html = page(operator)
    assert 'value="m5.large@us-east-1" selected' in html
    assert html.count('<path class="line') == 2
    assert "us-east-1a 0.0350" in words(html)
    asked = page(operator, market="c5.large@us-east-1", prices="7d")
    assert 'value="c5.large@us-east-1" selected' in asked
    assert asked.count('<path class="line') == 1


def test_a_price_that_nobody_confirmed_for_a_day_is_unknown(operator):
    long_ago = clock.now() - timedelta(days=3)
    PoolFactory(changed_at=long_ago, last_confirmed_at=long_ago)
    html = page(operator)
    assert "us-east-1a unknown –" in words(html)
    assert "No price is known in this window." in html


def test_what_needs_attention_is_listed_with_its_client(operator):
    shop = ClientFactory(name="Web shop")
    silent = clock.now() - timedelta(minutes=7)
    AgentFactory(client=shop, logical_agent_id="cart", status=Agent.Status.OFFLINE, last_heartbeat_at=silent)
    AgentFactory(client=shop, logical_agent_id="well")
    read = words(page(operator).partition("<h2>Needs attention</h2>")[2].partition("</section>")[0])
    assert read == "offline cart Web shop · last heard 7 minutes ago"


def test_a_client_filter_leaves_out_all_others(operator):
    mine, other = ClientFactory(name="Mine"), ClientFactory(name="Other")
    for owner in (mine, other):
        agent = AgentFactory(client=owner, logical_agent_id=f"{owner.name}-web", status=Agent.Status.OFFLINE)
        SwitchFactory(agent=agent)
        InterruptionEpisodeFactory(agent=agent)
        SystemEventFactory(client=owner, message=f"event of {owner.name}")
        spend(owner, "2026-03-09", baseline="100", paid="40")
    html = page(operator, client=mine.public_id)
    assert "Mine-web" in html
    assert "Other-web" not in html
    assert "event of Mine" in html
    assert "event of Other" not in html
    assert tile(html, "Saved so far").startswith("Saved so far $60.00")
    assert tile(html, "Agents online") == "Agents online 0 / 1 1 offline"
    assert tile(html, "Switches, last 24 h").startswith("Switches, last 24 h 1")


def test_an_unknown_client_is_404_and_not_the_whole_fleet(operator):
    assert operator.get("/dashboard/", {"client": "nobody"}).status_code == 404


@pytest.mark.parametrize("odd", ["", "all", "💥", "'--", "x" * 3000, "\x00", "@", "a@b@c"])
def test_other_odd_parameters_count_as_absent(operator, odd):
    PoolFactory()
    html = page(operator, savings=odd, prices=odd, market=odd)
    assert html.count('class="bar-pair"') == 30
    assert 'value="t3.medium@us-east-1" selected' in html


def test_what_agents_and_clients_are_called_is_text_and_not_markup(operator):
    client = ClientFactory(name="<script>alert(1)</script>")
    agent = AgentFactory(client=client, logical_agent_id="<img src=x>", status=Agent.Status.OFFLINE)
    SystemEventFactory(client=client, message="<b onclick=x>hi</b>")
    SwitchFactory(agent=agent)
    html = page(operator, client=client.public_id)
    assert not re.search(r"<(script>|img src=x|b onclick)", html)


def test_the_page_keeps_its_own_strict_policy(operator):
    """Nothing inline, nothing from elsewhere: otherwise the browser would leave it out."""
    PoolFactory()
    answer = operator.get("/dashboard/")
    html = answer.content.decode()
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r'\sstyle="|\son\w+="|<style|<script>', html)
    assert not re.search(r'(src|href|action)="(https?:)?//', html)
    files = re.findall(r'(?:src|href)="/static/([^"]+)"', html)
    assert len(files) == 4
    assert all(finders.find(file) for file in files)


def test_the_console_is_one_click_away(operator):
    agent = AgentFactory(status=Agent.Status.OFFLINE)
    SwitchFactory(agent=agent)
    html = page(operator)
    links = set(re.findall(r'href="(/admin/[^"]+)"', html))
    assert f"/admin/agents/agent/{agent.pk}/change/" in links
    assert all(operator.get(link).status_code == 200 for link in links)


def fill(number):
    for n in range(number):
        client = ClientFactory()
        agent = AgentFactory(client=client, status=Agent.Status.OFFLINE)
        InterruptionEpisodeFactory(agent=agent, kind=InterruptionEpisode.Kind.REBALANCE)
        SwitchFactory(agent=agent)
        SystemEventFactory(client=client)
        spend(client, clock.now().date() - timedelta(days=n), baseline="2", paid="1")
        PoolFactory(az=f"us-east-1{'abcdefgh'[n % 8]}")


def test_its_statements_and_its_size_do_not_grow_with_the_fleet(operator):
    page(operator)  # the first call also looks at the session
    fill(2)
    with CaptureQueriesContext(connection) as few:
        page(operator)
    fill(30)
    with CaptureQueriesContext(connection) as many:
        html = page(operator)
    assert len(few) == len(many) <= MAX_QUERIES
    assert html.count("<li>") <= 12 * 3 + 20
    assert html.count('<path class="line') == 6
