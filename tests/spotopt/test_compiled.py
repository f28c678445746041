"""The look-up that is built once finds what the queryset finds."""

import pytest
from django.db.models import Count

from agents.models import Agent
from spotopt.common.compiled import Compiled
from tests.factories import AgentFactory, CommandFactory

pytestmark = pytest.mark.django_db


def described(logical_id, *statuses):
    rows = Agent.objects.select_related("client").annotate(orders=Count("commands"))
    return rows.filter(logical_agent_id=logical_id, status__in=statuses)


@pytest.fixture
def agents():
    agents = [AgentFactory(logical_agent_id=name) for name in ("web-1", "web-2")]
    CommandFactory(agent=agents[1])
    return agents


def test_each_call_fills_in_its_own_values(agents, django_assert_num_queries):
    found = Compiled(described)
    for agent in agents:
        with django_assert_num_queries(1):
            one = found.first(agent.logical_agent_id, "online", "offline")
        expected = described(agent.logical_agent_id, "online", "offline").get()
        assert (one.pk, one.orders, one.client) == (expected.pk, expected.orders, expected.client)
        fields = [field.attname for field in Agent._meta.concrete_fields]
        assert [getattr(one, name) for name in fields] == [getattr(expected, name) for name in fields]


def test_what_is_not_there_is_none(agents):
    found = Compiled(described)
    assert found.first("web-3", "online") is None
    assert found.first("web-1", "deleted") is None  # another number of values
    assert found.first("' OR ''='", "online") is None


def test_what_is_found_can_be_changed_and_saved(agents):
    one = Compiled(described).first("web-1", "online", "offline")
    one.hostname = "other"
    one.save(update_fields=["hostname"])
    assert Agent.objects.get(pk=agents[0].pk).hostname == "other"
