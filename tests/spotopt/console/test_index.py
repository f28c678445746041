"""The console's first page: what is wrong, what to press, for whom, and at what cost."""

import re
from datetime import timedelta

import pytest
import time_machine

from agents.models import Agent
from clients.roles import OPERATORS, READ_ONLY
from decisions.models import Recommendation
from instances.models import Instance, InterruptionEpisode
from spotopt.common import clock
from spotopt.management.commands.run_jobs import JOBS
from spotopt.models import JobRun
from tests.factories import (
    AgentFactory,
    ClientFactory,
    CommandFactory,
    DeliveryFactory,
    InstanceFactory,
    InterruptionEpisodeFactory,
    OperatorFactory,
    PoolFactory,
    ReplicaFactory,
    SwitchFactory,
)

pytestmark = pytest.mark.django_db

MOST = 36  # statements


@pytest.fixture(autouse=True)
def _noon():
    with time_machine.travel("2026-03-10 12:00Z", tick=False):
        yield


@pytest.fixture
def operator(person, _noon):
    for name in JOBS:
        JobRun.objects.create(
            name=name, started_at=clock.now(), last_success_at=clock.now(), seconds=0.1, succeeded=True
        )
    return person(OPERATORS)


def wrong(person):
    """(what, whose, detail, words of the buttons) of each problem on the page."""
    found = person.browser.get("/admin/").context["problems"]
    return [(s.problem.what, s.problem.whose, s.problem.detail, [b.words for b in s.buttons]) for s in found]


def words(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def recommend(agent, **fields):
    given = {"current_mode": "spot", "target_mode": "ondemand", "expires_at": clock.now() + timedelta(hours=1)}
    return Recommendation.objects.create(client=agent.client, agent=agent, **given | fields)


def test_says_so_when_nothing_is_wrong(operator):
    AgentFactory()
    assert "Nothing waits for you" in operator.browser.get("/admin/").content.decode()


def test_an_interruption_stands_first_with_the_standby_that_can_take_over(operator):
    recommend(AgentFactory(logical_agent_id="api"), target_pool_id="t3.medium.us-east-1b", reason="cheaper")
    agent = AgentFactory(client__name="Shop", logical_agent_id="web", instance_id="i-0aaa")
    InterruptionEpisodeFactory(agent=agent, deadline_at=clock.now() + timedelta(seconds=90))
    ReplicaFactory(agent=agent, status="syncing", instance_id="i-0ccc")
    ReplicaFactory(agent=agent, instance_id="i-0bbb")
    assert wrong(operator)[0] == (
        "AWS takes an instance back",
        "web · Shop",
        "i-0aaa, 90 s left, a standby can take over",
        ["Make i-0bbb the primary …"],
    )


def test_a_rebalance_recommendation_and_a_drill_do_not_alarm(operator):
    InterruptionEpisodeFactory(kind=InterruptionEpisode.Kind.REBALANCE)
    InterruptionEpisodeFactory(is_drill=True)
    assert sorted(what for what, *_ in wrong(operator)) == [
        "AWS may take an instance back",
        "Drill: AWS takes an instance back",
    ]
    assert 'class="bad"' not in operator.browser.get("/admin/").content.decode()


def test_a_silent_agent_can_be_replaced_by_its_standby_or_removed(operator):
    long_ago = clock.now() - timedelta(hours=5)
    for name, has_standby in (("a", True), ("b", False)):
        agent = AgentFactory(logical_agent_id=name, status=Agent.Status.OFFLINE, last_heartbeat_at=long_ago)
        if has_standby:
            ReplicaFactory(agent=agent, instance_id="i-0bbb")
    found = {whose[0]: buttons for _, whose, _, buttons in wrong(operator)}
    assert found == {"a": ["Make i-0bbb the primary …"], "b": ["Remove the agent …"]}
    assert "5\xa0hours" in operator.browser.get("/admin/").content.decode()


def test_terminations_that_are_held_or_were_given_up_are_listed(operator):
    agent = AgentFactory()
    InstanceFactory(agent=agent, status="zombie", termination_hold=True)
    InstanceFactory(agent=agent, status="terminating", termination_attempts=5)
    InstanceFactory(agent=agent, status="zombie", termination_attempts=4)
    InstanceFactory(agent=agent, status="terminated", termination_attempts=5, termination_confirmed=True)
    assert [what for what, *_ in wrong(operator)] == [
        "A termination was given up",
        "A termination is held until you looked",
    ]


class TestOrders:
    def failed(self, agent, hours=1, **fields):
        ended = clock.now() - timedelta(hours=hours)
        return CommandFactory(agent=agent, **{"status": "failed", "completed_at": ended, "message": "No room"} | fields)

    def test_that_failed_can_be_given_again(self, operator):
        self.failed(AgentFactory(logical_agent_id="web", client__name="Shop"))
        assert wrong(operator) == [
            ("An order failed", "web · Shop", "Switch: No room", ["Order a move …"]),
        ]

    def test_that_nobody_fetched_are_listed_too(self, operator):
        self.failed(AgentFactory(), status="expired", command_type="TERMINATE_INSTANCE", purpose="terminate")
        assert [(what, buttons) for what, _, _, buttons in wrong(operator)] == [("An order was never fetched", [])]

    def test_are_listed_once_per_agent_and_purpose(self, operator):
        agent = AgentFactory()
        self.failed(agent, hours=2, message="older")
        self.failed(agent, hours=1, message="newer")
        assert [detail for _, _, detail, _ in wrong(operator)] == ["Switch: newer"]

    def test_are_no_problem_after_a_day_or_a_later_success(self, operator):
        self.failed(AgentFactory(), hours=25)
        agent = AgentFactory()
        self.failed(agent, hours=2)
        CommandFactory(agent=agent, status="completed", completed_at=clock.now() - timedelta(hours=1))
        assert wrong(operator) == []
        CommandFactory(agent=agent, status="completed", completed_at=clock.now() - timedelta(hours=5))
        self.failed(agent, hours=0.5)
        assert len(wrong(operator)) == 1


def test_waiting_moves_can_be_approved_and_rejected_here(operator):
    recommend(AgentFactory(), target_pool_id="t3.medium.us-east-1b", target_mode="spot", reason="cheaper")
    ((what, _, detail, buttons),) = wrong(operator)
    assert (what, detail) == ("A move waits for approval", "to t3.medium.us-east-1b: cheaper")
    assert buttons == ["Approve", "Reject"]


def test_messages_that_were_given_up_can_be_sent_again(operator):
    DeliveryFactory(status="failed", last_error="The endpoint answered 500")
    ((what, _, detail, buttons),) = wrong(operator)
    assert (what, buttons) == ("A message could not be delivered", ["Try again"])
    assert "answered 500" in detail


def test_jobs_that_stopped_or_fail_are_named(operator):
    stopped = clock.now() - timedelta(days=1)
    JobRun.objects.filter(name="sweep_agents").update(last_success_at=stopped)
    JobRun.objects.filter(name="prune_history").update(failures=2, succeeded=False, report="OperationalError")
    assert [(what, detail) for what, _, detail, _ in wrong(operator)] == [
        ("Background jobs do not run", "sweep_agents. Is spotopt-jobs running? `manage status` tells more"),
        ("A background job fails", "OperationalError"),
    ]


def test_who_may_only_look_sees_the_problems_and_no_button(operator, person):
    InterruptionEpisodeFactory(agent=ReplicaFactory().agent)
    viewer = person(READ_ONLY)
    assert [buttons for *_, buttons in wrong(viewer)] == [[]]
    html = viewer.browser.get("/admin/").content.decode()
    assert "_selected_action" not in html
    assert "read-only" in html


def test_who_may_see_no_table_is_led_nowhere(client, operator):
    InterruptionEpisodeFactory()
    client.force_login(OperatorFactory(is_superuser=False))
    (shown,) = client.get("/admin/").context["problems"]
    assert (shown.address, shown.buttons) == ("", [])


def test_a_button_solves_its_problem_and_comes_back(operator):
    recommend(AgentFactory())
    page = operator.browser.get("/admin/")
    ((_, reject),) = [shown.buttons for shown in page.context["problems"]]
    body = {"action": reject.action, "_selected_action": reject.row, "back": "/admin/"}
    answer = operator.browser.post(reject.address, body, follow=True)
    assert answer.redirect_chain == [("/admin/", 302)]
    assert "Nothing waits for you" in answer.content.decode()
    assert Recommendation.objects.get().status == "rejected"


def test_tiles_and_charts_are_those_of_the_overview(operator):
    SwitchFactory(agent=AgentFactory(client=ClientFactory()))
    for az in "ab":
        PoolFactory(az=f"us-east-1{az}")
    html = operator.browser.get("/admin/").content.decode()
    assert "Agents online 1 / 1 1 online" in words(html)
    assert html.count('class="chart"') == 2
    assert "us-east-1b" in html


def test_what_people_did_is_shown_with_their_names(operator):
    agent = AgentFactory(logical_agent_id="web")
    operator.told(Agent, "disable", agent)
    assert f"{operator.user.username} : web, disabled" in words(operator.browser.get("/admin/").content.decode())


def test_costs_the_same_however_much_is_wrong(operator):
    def trouble():
        agent = AgentFactory(status=Agent.Status.OFFLINE)
        InterruptionEpisodeFactory(agent=agent)
        ReplicaFactory(agent=agent)
        InstanceFactory(agent=agent, status=Instance.Status.ZOMBIE, termination_hold=True)
        recommend(agent)
        CommandFactory(agent=agent, status="failed", completed_at=clock.now())
        DeliveryFactory(status="failed")
        SwitchFactory(agent=agent)
        PoolFactory(instance_type=agent.instance_type)
        operator.told(Agent, "disable", agent)

    trouble()
    _, few = operator.opens("/admin/")
    for _ in range(9):
        trouble()
    status, many = operator.opens("/admin/")
    assert (status, len(many)) == (200, len(few))
    assert len(many) <= MOST, "\n".join(many)
