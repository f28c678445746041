"""Decision modes: what is ordered, what waits for a person, what is only written down (issue 5, point 3)."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Agent, Command
from clients.models import Client
from decisions.errors import AlreadyDecided
from decisions.models import DecisionRecord, Recommendation
from decisions.services import approvals, proposals
from decisions.services.rounds import run_round
from instances.models import Pool
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.conftest import JsonClient
from tests.factories import (
    AgentFactory,
    CommandFactory,
    InterruptionEpisodeFactory,
    SwitchFactory,
    token_of,
)

pytestmark = pytest.mark.django_db
CHEAP, DEAR = "t3.medium.us-east-1b", "t3.medium.us-east-1a"
MINUTES = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(market, tenant):
    return AgentFactory(client=tenant, current_mode="ondemand", decision_mode="approve")


@pytest.fixture
def waiting(agent):
    run_round()
    return Recommendation.objects.get()


def later(now, minutes=5):
    """Prices are confirmed, and a round is run."""
    now.shift(minutes * MINUTES)
    Pool.objects.update(last_confirmed_at=clock.now())
    return run_round()


def decide(api, recommendation, action, body=None):
    return api.post(f"/api/client/recommendations/{recommendation.public_id}/{action}", body)


def state(recommendation):
    recommendation.refresh_from_db()
    return recommendation.status, recommendation.note


class TestModes:
    @pytest.mark.parametrize(
        ("own", "of_client", "auto_switch", "ordered", "proposed"),
        [
            ("", "auto", True, 1, 0),
            ("", "approve", True, 0, 1),
            ("", "recommend", True, 0, 0),
            ("auto", "recommend", True, 1, 0),
            ("approve", "auto", True, 0, 1),
            ("recommend", "auto", True, 0, 0),
            ("approve", "auto", False, 0, 0),
        ],
    )
    def test_an_agents_own_mode_comes_before_its_clients(
        self, market, tenant, own, of_client, auto_switch, ordered, proposed
    ):
        Client.objects.update(decision_mode=of_client)
        AgentFactory(client=tenant, current_mode="ondemand", decision_mode=own, auto_switch_enabled=auto_switch)
        outcome = run_round()
        assert (outcome.ordered, outcome.proposed) == (ordered, proposed)
        assert (Command.objects.count(), Recommendation.objects.count()) == (ordered, proposed)
        assert DecisionRecord.objects.get().decision_type == "switch_spot"

    def test_a_recommendation_stands_as_long_as_it_is_right(self, agent, now):
        """Nothing moved, so what speaks for the move is kept, and the same answer is counted on its record."""
        Agent.objects.update(decision_mode="recommend")
        run_round()
        for _ in range(6):
            later(now)
        record = DecisionRecord.objects.get()
        assert (record.decision_type, record.evaluations) == ("switch_spot", 7)

    @pytest.mark.parametrize("mode", ["approve", "recommend"])
    def test_no_program_orders_past_it(self, tenant_api, agent, mode):
        Agent.objects.update(decision_mode=mode)
        answer = tenant_api.post(
            f"/api/agents/{agent.public_id}/issue-switch-command", {"target_mode": "spot", "target_pool_id": CHEAP}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "DECISION_MODE")
        assert not Command.objects.exists()

    def test_an_agent_that_asks_is_not_allowed_to_move_by_itself(self, tenant_api, agent):
        body = {"spot_pools": [], "ondemand_price": 0.0, "current_az": "us-east-1a"}
        answer = tenant_api.post(f"/api/agents/{agent.public_id}/decide", body).json()
        assert (answer["action"], answer["allowed"]) == ("SWITCH", False)
        answer = tenant_api.get(f"/api/agents/{agent.public_id}/switch-recommendation").json()
        assert answer["will_auto_execute"] is False

    def test_people_set_it_on_an_agent(self, tenant_api, agent):
        for given, stored in (("recommend", "recommend"), (None, ""), ("auto", "auto")):
            answer = tenant_api.post(f"/api/client/agents/{agent.public_id}/config", {"decisionMode": given})
            assert answer.status_code == 200
            agent.refresh_from_db()
            assert agent.decision_mode == stored
        event = SystemEvent.objects.filter(event_type="agent_config_changed").last()
        assert event.metadata["changes"] == {"decision_mode": ["", "auto"]}
        answer = tenant_api.post(f"/api/client/agents/{agent.public_id}/config", {"decisionMode": "yes"})
        assert answer.status_code == 400

    def test_an_order_that_nobody_fetched_goes_with_the_auto_mode(self, tenant_api, agent):
        Agent.objects.update(decision_mode="auto")
        run_round()
        tenant_api.post(f"/api/client/agents/{agent.public_id}/config", {"decisionMode": "recommend"})
        assert Command.objects.get().status == "superseded"

    def test_the_clients_mode_is_shown_and_set(self, tenant_api, tenant, agent):
        Agent.objects.update(decision_mode="")
        path = f"/api/client/{tenant.public_id}/decision-mode"
        assert tenant_api.get(path).json()["decision_mode"] == "auto"
        assert tenant_api.put(path, {"decision_mode": "approve"}).json() == {
            "client_id": tenant.public_id,
            "decision_mode": "approve",
            "agents": [
                {
                    "agent_id": agent.public_id,
                    "agent_name": agent.logical_agent_id,
                    "decision_mode": None,
                    "auto_switch_enabled": True,
                    "acting_mode": "approve",
                }
            ],
        }
        assert SystemEvent.objects.get(event_type="decision_mode_changed").actor
        assert tenant_api.put(path, {"decision_mode": "never"}).status_code == 400
        assert tenant_api.get(f"/api/client/{AgentFactory().client.public_id}/decision-mode").status_code == 403

    def test_modes_cost_the_same_for_any_number(self, tenant_api, tenant, django_assert_num_queries):
        AgentFactory.create_batch(5, client=tenant)
        with django_assert_num_queries(3):
            tenant_api.get(f"/api/client/{tenant.public_id}/decision-mode")


class TestAProposal:
    def test_says_what_it_is_about(self, waiting, agent, tenant, tenant_api):
        (row,) = tenant_api.get(f"/api/client/{tenant.public_id}/recommendations?status=pending").json()
        record = DecisionRecord.objects.get()
        assert row == {
            "id": waiting.public_id,
            "client_id": tenant.public_id,
            "agent_id": agent.public_id,
            "agent_name": agent.logical_agent_id,
            "status": "pending",
            "current_mode": "ondemand",
            "current_pool_id": None,
            "target_mode": "spot",
            "target_pool_id": CHEAP,
            "expected_savings": float(record.expected_savings),
            "reason": record.reason,
            "decision_id": record.public_id,
            "created_at": "2026-01-05T12:00:00Z",
            "expires_at": "2026-01-06T12:00:00Z",
            "decided_at": None,
            "decided_by": None,
            "note": None,
            "command_id": None,
        }

    def test_is_told_in_the_inbox_and_on_the_stream(self, waiting, agent):
        message = Notification.objects.get()
        assert (message.notification_type, message.severity) == ("recommendation_pending", "warning")
        assert message.metadata == {"recommendation_id": waiting.public_id}
        assert SystemEvent.objects.get(event_type="recommendation_pending").agent_id == agent.public_id

    def test_is_made_once(self, waiting, now):
        for _ in range(3):
            assert later(now).proposed == 0
        assert (Recommendation.objects.count(), Notification.objects.count()) == (1, 1)
        assert state(waiting)[0] == "pending"

    def test_is_not_made_while_moves_of_others_wait(self, market, tenant):
        """The rate of automatic moves is not for people: they see each move and decide."""
        AgentFactory.create_batch(3, client=tenant, current_mode="ondemand", decision_mode="approve")
        assert run_round().proposed == 3

    def test_costs_one_statement_more_where_nothing_is_new(self, market, tenant, now):
        AgentFactory(client=tenant, current_mode="ondemand", decision_mode="approve")
        run_round()
        with CaptureQueriesContext(connection) as one:
            later(now)
        AgentFactory.create_batch(10, client=tenant, current_mode="ondemand", decision_mode="approve")
        run_round()
        with CaptureQueriesContext(connection) as many:
            later(now)
        assert len(many) <= len(one)


class TestApproval:
    def test_orders_the_move_and_is_on_record(self, waiting, agent, tenant_api, tenant):
        answer = decide(tenant_api, waiting, "approve")
        assert answer.status_code == 200, answer.content
        command = Command.objects.get()
        assert (command.command_type, command.target_pool_id, command.created_by) == ("switch", CHEAP, "model")
        assert command.metadata["recommendation_id"] == waiting.public_id
        row = answer.json()
        assert (row["status"], row["command_id"]) == ("approved", command.public_id)
        assert DecisionRecord.objects.get().command_id == command.public_id
        event = SystemEvent.objects.get(event_type="recommendation_approved")
        assert event.actor == row["decided_by"] != ""
        assert event.metadata["command_id"] == command.public_id

    def test_is_given_once(self, waiting, admin_api):
        assert decide(admin_api, waiting, "approve").status_code == 200
        for action in ("approve", "reject"):
            again = decide(admin_api, waiting, action)
            assert (again.status_code, again.json()["code"]) == (409, "ALREADY_DECIDED")
        assert again.json()["details"] == {"status": "approved", "command_id": Command.objects.get().public_id}

    def test_of_another_tenants_move_finds_nothing(self, waiting):
        stranger = JsonClient().bearer(token_of(AgentFactory().client))
        for action in ("approve", "reject"):
            answer = decide(stranger, waiting, action)
            assert (answer.status_code, answer.json()["error"]) == (404, "There is no such recommendation")
        assert state(waiting)[0] == "pending"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"max_switches_per_day": 0}, "switches a day"),
            ({"min_savings_percent": 90}, "."),
            ({"instance_id": "i-0other"}, "moved"),
            ({"decision_mode": "recommend"}, "decision mode"),
            ({"auto_switch_enabled": False}, "decision mode"),
            ({"status": "offline"}, "offline"),
            ({"enabled": False}, "disabled"),
        ],
    )
    def test_is_refused_when_it_is_no_longer_right(self, waiting, admin_api, change, why):
        Agent.objects.update(**change)
        answer = decide(admin_api, waiting, "approve")
        assert (answer.status_code, answer.json()["code"]) == (409, "OUT_OF_DATE")
        assert not Command.objects.exists()
        assert state(waiting)[0] == "expired"
        assert why in state(waiting)[1]

    def test_counts_moves_that_happened_meanwhile(self, waiting, admin_api, agent):
        SwitchFactory.create_batch(3, agent=agent)
        assert decide(admin_api, waiting, "approve").json()["code"] == "OUT_OF_DATE"

    def test_is_refused_during_an_episode(self, waiting, admin_api, agent):
        InterruptionEpisodeFactory(agent=agent)
        assert decide(admin_api, waiting, "approve").json()["code"] == "OUT_OF_DATE"

    def test_is_refused_on_stale_prices(self, waiting, admin_api, now):
        now.shift(31 * MINUTES)
        assert decide(admin_api, waiting, "approve").json()["code"] == "OUT_OF_DATE"

    def test_is_refused_while_another_order_is_open(self, waiting, admin_api, agent):
        CommandFactory(agent=agent)
        assert decide(admin_api, waiting, "approve").json()["code"] == "OUT_OF_DATE"

    def test_is_refused_when_the_engine_now_prefers_another_pool(self, waiting, admin_api):
        Pool.objects.filter(pool_id=CHEAP).update(is_active=False)
        assert decide(admin_api, waiting, "approve").json()["code"] == "OUT_OF_DATE"


class TestRejection:
    def test_ends_it_for_a_day(self, waiting, tenant_api, now):
        answer = decide(tenant_api, waiting, "reject", {"note": "release week"})
        assert (answer.json()["status"], answer.json()["note"]) == ("rejected", "release week")
        assert SystemEvent.objects.get(event_type="recommendation_rejected").actor
        assert sum(later(now, minutes=60).proposed for _ in range(23)) == 0
        assert later(now, minutes=70).proposed == 1

    def test_does_not_stop_another_move(self, waiting, tenant_api, now):
        decide(tenant_api, waiting, "reject")
        Pool.objects.filter(pool_id=CHEAP).update(is_active=False)
        assert later(now).proposed == 1
        assert Recommendation.objects.pending().get().target_pool_id == DEAR


class TestExpiry:
    @pytest.mark.parametrize(
        "change",
        [{"status": "offline"}, {"enabled": False}, {"instance_id": "i-0new"}, {"decision_mode": "auto"}],
    )
    def test_when_the_agent_changed(self, waiting, change):
        Agent.objects.update(**change)
        assert proposals.expire_outdated(now=clock.now()) == 1
        assert state(waiting)[0] == "expired"
        assert SystemEvent.objects.get(event_type="recommendation_expired").actor == ""

    def test_when_its_client_changed_the_mode(self, waiting):
        Agent.objects.update(decision_mode="")
        assert proposals.expire_outdated(now=clock.now()) == 1
        assert state(waiting) == ("expired", "The decision mode is auto now")

    def test_not_for_a_client_in_approve_mode(self, waiting):
        Agent.objects.update(decision_mode="")
        Client.objects.update(decision_mode="approve")
        assert proposals.expire_outdated(now=clock.now()) == 0

    def test_with_an_interruption(self, waiting, agent):
        InterruptionEpisodeFactory(agent=agent)
        run_round()
        assert state(waiting) == ("expired", "An interruption is being handled")

    def test_by_age(self, waiting, now):
        now.shift(timedelta(hours=24))
        proposals.expire_outdated(now=clock.now())
        assert state(waiting) == ("expired", "Nobody decided within 24 hours")

    def test_with_stale_prices(self, waiting, now):
        now.shift(31 * MINUTES)
        run_round()
        assert state(waiting)[0] == "expired"

    def test_with_a_decision_for_another_pool(self, waiting, now):
        Pool.objects.filter(pool_id=CHEAP).update(is_active=False)
        later(now)
        assert state(waiting)[0] == "expired"
        assert Recommendation.objects.pending().get().target_pool_id == DEAR


class TestLists:
    def test_of_all_clients_are_for_operators(self, waiting, admin_api, tenant_api):
        assert [row["id"] for row in admin_api.get("/api/admin/recommendations").json()] == [waiting.public_id]
        assert tenant_api.get("/api/admin/recommendations").status_code == 403

    def test_of_another_tenant_are_refused(self, waiting, tenant_api):
        assert tenant_api.get(f"/api/client/{AgentFactory().client.public_id}/recommendations").status_code == 403

    def test_take_odd_parameters(self, waiting, tenant, tenant_api):
        path = f"/api/client/{tenant.public_id}/recommendations"
        for query in ("?status=odd", "?status=all&limit=0", "?limit=x", "?limit=99999"):
            assert len(tenant_api.get(path + query).json()) == 1
        assert tenant_api.get(path + "?status=rejected").json() == []

    @pytest.mark.parametrize("number", [1, 20])
    def test_cost_the_same_for_any_number(self, market, tenant, tenant_api, number, django_assert_num_queries):
        AgentFactory.create_batch(number, client=tenant, current_mode="ondemand", decision_mode="approve")
        run_round()
        with django_assert_num_queries(3):
            assert len(tenant_api.get(f"/api/client/{tenant.public_id}/recommendations").json()) == number


class TestTheConsole:
    @pytest.fixture
    def console(self, client, staff):
        client.force_login(staff)
        return client

    def act(self, console, action, *rows):
        data = {"action": action, "_selected_action": [row.pk for row in rows]}
        answer = console.post(reverse("admin:decisions_recommendation_changelist"), data, follow=True)
        return [str(message) for message in answer.context["messages"]]

    def test_approves_and_says_by_whom(self, console, waiting, agent, staff):
        assert self.act(console, "approve", waiting) == [f"recommendation {waiting}: the move of {agent} was approved"]
        assert Command.objects.count() == 1
        assert SystemEvent.objects.get(event_type="recommendation_approved").actor == staff.username
        assert LogEntry.objects.get(object_id=waiting.pk).user == staff

    def test_rejects_and_says_what_was_decided_already(self, console, waiting, agent):
        assert self.act(console, "reject", waiting) == [f"recommendation {waiting}: the move of {agent} was rejected"]
        assert self.act(console, "approve", waiting) == [f"recommendation {waiting}: It is rejected already"]
        assert not Command.objects.exists()

    def test_sets_protection_and_mode_of_an_agent(self, console, agent, staff):
        page = reverse("admin:agents_agent_change", args=[agent.pk])
        assert console.post(page, {"decision_mode": "recommend"}).status_code == 302
        agent.refresh_from_db()
        assert (agent.emergency_protection, agent.decision_mode, agent.config_version) == (False, "recommend", 2)
        assert SystemEvent.objects.get(event_type="agent_config_changed").actor == staff.username
        console.post(page, {"decision_mode": "", "emergency_protection": "on", "status": "deleted"})
        agent.refresh_from_db()
        assert (agent.emergency_protection, agent.decision_mode, agent.status) == (True, "", "online")

    def test_sets_the_mode_of_a_client(self, console, tenant, staff):
        body = {"name": tenant.name, "email": "", "decision_mode": "approve"}
        assert console.post(reverse("admin:clients_client_change", args=[tenant.pk]), body).status_code == 302
        tenant.refresh_from_db()
        assert tenant.decision_mode == "approve"
        assert SystemEvent.objects.get(event_type="decision_mode_changed").actor == staff.username


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_two_people_who_approve_at_once_order_once(waiting):
    gate, ends = threading.Barrier(6), []

    def work(action):
        gate.wait()
        try:
            action(recommendation=Recommendation.objects.get(), actor="somebody")
            ends.append("done")
        except AlreadyDecided:
            ends.append("late")
        finally:
            connection.close()

    actions = [approvals.approve] * 4 + [approvals.reject] * 2
    threads = [threading.Thread(target=work, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["done"] + ["late"] * 5
    waiting.refresh_from_db()
    assert Command.objects.count() == (1 if waiting.status == "approved" else 0)


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_rounds_at_once_propose_once(market, tenant):
    agents = AgentFactory.create_batch(10, client=tenant, current_mode="ondemand", decision_mode="approve")
    gate = threading.Barrier(4)

    def work():
        gate.wait()
        run_round()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Recommendation.objects.pending().count() == len(agents)
    assert Notification.objects.count() == len(agents)
