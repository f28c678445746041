"""The usage journal: which stretches of an instance's life count as what (dashboard-api 5.3)."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.conf import settings

from instances.models import Instance, UsageInterval
from instances.services import roles, usage
from tests.dialects import V4
from tests.factories import AgentFactory, InstanceFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TIMEOUT = timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
Status = Instance.Status


def minutes(number):
    return timedelta(minutes=number)


def journal(instance):
    """(role, minutes after noon it began, minutes after noon it ended or None)"""

    def relative(at):
        return None if at is None else (at - NOON) / minutes(1)

    rows = UsageInterval.objects.filter(instance=instance).order_by("started_at")
    return [(row.role, relative(row.started_at), relative(row.ended_at)) for row in rows]


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def instance():
    """A primary since noon, whose ledger is final up to one o'clock."""
    instance = InstanceFactory()
    usage.track(instance=instance, at=NOON)
    Instance.objects.filter(pk=instance.pk).update(ledger_from=NOON + minutes(60))
    return instance


def set_status(instance, status, at):
    instance.status = status
    instance.save(update_fields=["status"])
    usage.track(instance=instance, at=at)


def test_a_primary_is_in_use_from_the_start(instance):
    assert journal(instance) == [("primary", 0, None)]


def test_a_launch_without_confirmation_is_not_in_use():
    instance = InstanceFactory(status=Status.LAUNCHING, instance_id="i-pending-0badcafe")
    usage.track(instance=instance, at=NOON)
    assert journal(instance) == []


@pytest.mark.parametrize(
    ("status", "role"),
    [("running_replica", "replica"), ("promoting", "replica"), ("zombie", "zombie"), ("terminating", "zombie")],
)
def test_a_new_role_begins_where_the_old_one_ends(instance, status, role):
    set_status(instance, status, NOON + minutes(10))
    assert journal(instance) == [("primary", 0, 10), (role, 10, None)]


def test_the_same_role_again_changes_nothing(instance, django_assert_num_queries):
    with django_assert_num_queries(1):
        usage.track(instance=instance, at=NOON + minutes(10))
    assert journal(instance) == [("primary", 0, None)]


def test_a_termination_ends_the_use(instance):
    set_status(instance, Status.TERMINATED, NOON + minutes(10))
    assert journal(instance) == [("primary", 0, 10)]


def test_a_termination_that_is_learnt_late_takes_back_what_came_after_it(instance):
    set_status(instance, Status.ZOMBIE, NOON + minutes(20))
    set_status(instance, Status.TERMINATED, NOON + minutes(15))
    assert journal(instance) == [("primary", 0, 15)]


def test_a_role_of_no_duration_leaves_no_trace(instance):
    set_status(instance, Status.REPLICA, NOON + minutes(10))
    set_status(instance, Status.ZOMBIE, NOON + minutes(10))
    assert journal(instance) == [("primary", 0, 10), ("zombie", 10, None)]


def test_a_move_between_two_agents_is_no_break_in_the_use(instance):
    set_status(instance, Status.LAUNCHING, NOON + minutes(10))  # merging.bring_under
    set_status(instance, Status.PRIMARY, NOON + minutes(10))
    assert journal(instance) == [("primary", 0, None)]


def test_one_that_was_given_up_and_calls_after_all_ran_all_the_time(instance):
    set_status(instance, Status.TERMINATED, NOON + minutes(10))
    set_status(instance, Status.ZOMBIE, NOON + minutes(30))
    assert journal(instance) == [("primary", 0, 10), ("zombie", 10, None)]


def test_news_of_a_final_hour_has_it_computed_again(instance):
    set_status(instance, Status.TERMINATED, NOON + minutes(10))
    instance.refresh_from_db()
    assert instance.ledger_from == NOON


def test_news_of_an_open_hour_leaves_the_others_final(instance):
    set_status(instance, Status.TERMINATED, NOON + minutes(70))
    instance.refresh_from_db()
    assert instance.ledger_from == NOON + minutes(60)


def test_news_of_an_instance_that_was_done_with_has_it_computed_again(instance):
    Instance.objects.filter(pk=instance.pk).update(ledger_from=None)
    set_status(instance, Status.ZOMBIE, NOON + minutes(90))
    instance.refresh_from_db()
    assert instance.ledger_from == NOON + minutes(60)


def test_a_corrected_mode_is_corrected_from_the_beginning(instance):
    set_status(instance, Status.ZOMBIE, NOON + minutes(10))
    roles.learn_facts(instance=instance, mode="ondemand", may_correct=True)
    assert set(instance.usage.values_list("mode", "pool_id")) == {("ondemand", "")}
    instance.refresh_from_db()
    assert instance.ledger_from == NOON


def test_a_role_change_costs_few_statements(instance, django_assert_max_num_queries):
    instance.status = Status.ZOMBIE
    with django_assert_max_num_queries(6):
        usage.track(instance=instance, at=NOON + minutes(10))


def test_a_silent_primary_counts_as_one_until_it_fell_silent(client_token, noon):
    old, new = (V4(client_token, instance_id=name) for name in ("i-0aaa", "i-0bbb"))
    old.register()
    noon.shift(minutes(30))
    assert new.register().json()["role"] == "primary"  # R7
    silent = TIMEOUT / minutes(1)
    assert journal(Instance.objects.get(instance_id="i-0aaa")) == [("primary", 0, silent), ("zombie", silent, None)]
    assert journal(Instance.objects.get(instance_id="i-0bbb")) == [("primary", 30, None)]


def test_a_primary_is_heard_through_its_agent():
    agent = AgentFactory(last_heartbeat_at=NOON)
    primary = agent.instances.get()
    standby = InstanceFactory(agent=agent, status=Status.REPLICA, last_seen_at=NOON - minutes(5))
    stranger = InstanceFactory(agent=agent, status=Status.REPLICA)
    heard = [usage.last_heard(instance=one, agent=agent) for one in (primary, standby, stranger)]
    assert heard == [NOON, NOON - minutes(5), None]
