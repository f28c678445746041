"""Settings that change at once: none is lost, and manual mode makes one standby (dashboard-api 2.5)."""

import pytest

from agents.models import Agent
from instances.models import Replica
from instances.services.agent_settings import configure, set_enabled
from instances.services.departures import remove_agent
from instances.services.failover import sweep_agent
from notifications.models import SystemEvent
from spotopt.common.errors import DomainError
from tests.factories import AgentFactory, PoolFactory
from tests.instances.test_races import at_once

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def agent():
    PoolFactory(az="us-east-1b")
    return AgentFactory()


def setting(agent, **settings):
    return lambda: configure(agent=agent, settings=settings, actor="test")


def test_changes_of_different_settings_are_all_kept(agent):
    at_once(
        setting(agent, terminate_wait_minutes=30),
        setting(agent, auto_terminate_enabled=False),
        setting(agent, max_switches_per_week=3),
        setting(agent, emergency_protection=False),
        lambda: set_enabled(agent=agent, enabled=False, actor="test"),
    )
    agent.refresh_from_db()
    assert (agent.terminate_wait_seconds, agent.auto_terminate_enabled) == (1800, False)
    assert (agent.max_switches_per_week, agent.emergency_protection, agent.enabled) == (3, False, False)
    assert agent.config_version == 6


def test_manual_mode_turned_on_twice_makes_one_standby_and_one_version(agent):
    on = setting(agent, manual_replica_enabled=True)
    at_once(on, on, on, on, lambda: sweep_agent(agent_pk=agent.pk), lambda: sweep_agent(agent_pk=agent.pk))
    assert Replica.objects.count() == 1
    agent.refresh_from_db()
    assert agent.config_version == 2
    assert SystemEvent.objects.filter(event_type="agent_config_changed").count() == 1


def test_opposite_modes_leave_one_of_them_and_its_standbys(agent):
    manual, auto = setting(agent, manual_replica_enabled=True), setting(agent, auto_switch_enabled=True)
    at_once(manual, auto, manual, auto)
    agent.refresh_from_db()
    assert agent.auto_switch_enabled != agent.manual_replica_enabled
    assert Replica.objects.active().count() == int(agent.manual_replica_enabled)


def test_a_deletion_leaves_no_standby_behind(agent):
    def turn_on():
        try:
            setting(agent, manual_replica_enabled=True)()
        except DomainError as refusal:
            return refusal.status_code
        return 200

    at_once(turn_on, lambda: remove_agent(agent=agent, actor="test"), lambda: sweep_agent(agent_pk=agent.pk))
    assert Agent.objects.get().status == "deleted"
    assert not Replica.objects.active().exists()
