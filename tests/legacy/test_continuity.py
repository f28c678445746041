"""Agents of the old server go on here with their old id and token, and without registering (docs/migration.md)."""

import pytest

from agents.models import Agent
from instances.models import Instance, Switch
from tests.dialects import V2, V4, V4b
from tests.legacy.conftest import SHOP_TOKEN, WEB

pytestmark = [pytest.mark.mysql, pytest.mark.django_db]


@pytest.fixture
def moved(legacy, run):
    legacy.add_small_fleet()
    legacy.add("agent_configs", agent_id=WEB, max_switches_per_week=4)
    run()


def agent_program(cls, instance_id="i-0aaa"):
    """As it runs already: it registered at the old server, and keeps its id in memory."""
    program = cls(SHOP_TOKEN, instance_id=instance_id)
    program.agent_id = WEB
    return program


@pytest.mark.parametrize("cls", [V2, V4, V4b])
def test_heartbeats_go_on(moved, cls):
    web = agent_program(cls)
    assert web.heartbeat().json()["success"] is True
    agent = Agent.objects.get()
    assert (agent.public_id, agent.status, agent.instance_id) == (WEB, "online", "i-0aaa")
    assert Instance.objects.get().status == "running_primary"


def test_it_gets_its_config_and_orders(moved):
    web = agent_program(V4)
    web.heartbeat()
    assert web.orders() == []
    assert web.get("config").json()["max_switches_per_week"] == 4
    order = {"target_mode": "ondemand", "priority": 75}
    assert web.post("issue-switch-command", order).status_code == 201
    assert [order["target_mode"] for order in web.orders()] == ["ondemand"]


def test_it_may_switch_to_another_instance(moved):
    web = agent_program(V4)
    web.heartbeat()
    successor = V4(SHOP_TOKEN, instance_id="i-0bbb", az="us-east-1b")
    web.report_switch(successor)
    assert successor.register().json()["agent_id"] == WEB
    assert Agent.objects.get().instance_id == "i-0bbb"
    assert Switch.objects.get().new_instance_id == "i-0bbb"


def test_registering_again_finds_the_same_agent(moved):
    web = V4(SHOP_TOKEN, instance_id="i-0aaa")
    assert web.register().json()["agent_id"] == WEB
    assert Agent.objects.count() == 1


def test_an_agent_that_was_one_of_two_with_one_name_goes_on(legacy, run):
    legacy.add_small_fleet()
    twin = "a2a2a2a2-0000-4000-8000-000000000002"
    legacy.add_agent(twin, last_heartbeat_at="2026-01-05 11:00:00", instance_id="i-0bbb")
    run()
    program = agent_program(V4, "i-0bbb")
    program.agent_id = twin
    assert program.heartbeat().status_code == 200
    assert program.get("config").status_code == 200
