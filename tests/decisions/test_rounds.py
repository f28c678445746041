"""run_decisions: evaluates the fleet, leaves records, and orders what is worth it (design 2.9, 2.10; agent-api 4.3)."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, Command
from decisions.models import DecisionRecord, PoolExperience
from decisions.services.rounds import evaluate, run_round
from instances.models import Pool, SpotPriceHistory, Switch
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.factories import (
    AgentFactory,
    CommandFactory,
    InterruptionEpisodeFactory,
    SwitchFactory,
)

pytestmark = pytest.mark.django_db
CHEAP = "t3.medium.us-east-1b"


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(market, tenant):
    return AgentFactory(client=tenant, current_mode="ondemand")


def reprice(pool_id, price):
    """As `price_news` does on a report."""
    at = clock.now()
    Pool.objects.filter(pool_id=pool_id).update(
        price=Decimal(price), changed_at=at, last_confirmed_at=at, recorded_at=at
    )
    SpotPriceHistory.objects.create(pool=Pool.objects.get(pool_id=pool_id), at=at, price=Decimal(price))


def confirm_prices():
    Pool.objects.update(last_confirmed_at=clock.now())


def the_record():
    return DecisionRecord.objects.order_by("-id")[0]


class TestAMoveThatIsWorthIt:
    def test_is_ordered(self, agent):
        outcome = run_round()
        assert (outcome.evaluated, outcome.recorded, outcome.ordered) == (1, 1, 1)
        command = Command.objects.get()
        assert (command.command_type, command.created_by, command.priority) == ("switch", "model", 25)
        assert (command.target_mode, command.target_pool_id) == ("spot", CHEAP)
        assert (command.instance_id, command.terminate_wait_seconds) == (agent.instance_id, 300)

    def test_leaves_a_record_that_explains_it(self, agent):
        run_round()
        record = the_record()
        assert (record.decision_type, record.target_pool_id) == ("switch_spot", CHEAP)
        assert record.command_id == Command.objects.get().public_id
        assert record.expected_savings > 0
        assert record.reason.startswith(f"Move from on-demand to {CHEAP}")
        verdicts = {one["pool_id"]: one["verdict"] for one in record.details["candidates"]}
        assert verdicts == {None: "current", CHEAP: "chosen", "t3.medium.us-east-1a": "outranked"}
        assert all(one["reason"] for one in record.details["candidates"])

    def test_is_told(self, agent):
        run_round()
        assert SystemEvent.objects.get(event_type="automatic_switch_issued").agent_id == agent.public_id
        assert Notification.objects.get().severity == "info"

    def test_is_ordered_once(self, agent, now):
        run_round()
        now.shift(timedelta(minutes=5))
        confirm_prices()
        assert run_round().ordered == 0
        assert "an order is still open" in the_record().details["holds"]

    def test_is_only_recommended_without_auto_switch(self, agent):
        Agent.objects.update(auto_switch_enabled=False)
        assert run_round().ordered == 0
        assert (the_record().decision_type, the_record().command_id) == ("switch_spot", "")

    def test_launches_a_successor_for_v5_in_its_own_zone(self, agent):
        Agent.objects.update(protocol="v5")
        run_round()
        command = Command.objects.get()
        assert (command.command_type, command.purpose) == ("LAUNCH_INSTANCE", "switch")
        assert command.target_pool_id == "t3.medium.us-east-1a"


class TestNothingHappens:
    @pytest.mark.parametrize(
        ("change", "hold"),
        [
            ({"enabled": False}, "the agent is disabled"),
            ({"protocol": "v4b"}, "the agent cannot execute switches"),
            ({"notice_status": "rebalance"}, "an interruption is being handled"),
        ],
    )
    def test_and_the_record_says_why(self, agent, change, hold):
        Agent.objects.update(**change)
        assert run_round().ordered == 0
        assert the_record().decision_type == "stay"
        assert the_record().details["holds"] == [hold]
        assert the_record().details["preferred"] == {"action": "switch_spot", "pool_id": CHEAP}
        assert hold in the_record().reason

    def test_during_an_episode(self, agent):
        InterruptionEpisodeFactory(agent=agent)
        run_round()
        assert not Command.objects.exists()

    def test_while_another_order_is_open(self, agent):
        CommandFactory(agent=agent)
        run_round()
        assert Command.objects.count() == 1

    def test_on_stale_prices(self, agent):
        Pool.objects.update(last_confirmed_at=clock.now() - timedelta(minutes=31))
        run_round()
        assert not Command.objects.exists()
        verdicts = {one["verdict"] for one in the_record().details["candidates"] if one["pool_id"]}
        assert verdicts == {"stale_price"}

    def test_on_an_estimated_ondemand_price(self, agent, market):
        type(agent).objects.update(current_mode="spot", current_pool_id="t3.medium.us-east-1a")
        from instances.models import OnDemandPrice

        OnDemandPrice.objects.update(is_estimate=True)
        run_round()
        assert the_record().details["ondemand_price"] is None
        assert not Command.objects.exists()

    def test_to_offline_and_unknown_agents(self, market):
        AgentFactory(status="offline", current_mode="ondemand")
        AgentFactory(current_mode="unknown", current_pool_id="")
        outcome = run_round()
        assert (outcome.evaluated, outcome.recorded) == (0, 0)

    def test_when_the_weekly_limit_is_used_up(self, agent):
        Agent.objects.update(max_switches_per_week=1)
        SwitchFactory(agent=agent, created_at=clock.now() - timedelta(days=2))
        run_round()
        assert not Command.objects.exists()
        assert the_record().details["limits"]["reached"] == ["max_switches_per_week"]

    def test_when_auto_switch_was_turned_off_since_it_was_looked_at(self, agent, monkeypatch):
        from decisions.services import rounds

        order = rounds.order_move

        def late(evaluation, record):
            Agent.objects.update(auto_switch_enabled=False)
            return order(evaluation, record)

        monkeypatch.setattr(rounds, "order_move", late)
        outcome = run_round()
        assert (outcome.ordered, outcome.refused) == (0, {"AUTO_SWITCH_DISABLED": 1})
        assert the_record().reason.endswith("Not ordered: Auto-switch is off")


class TestTheReturnFromAForcedFallBack:
    def test_is_no_planned_move(self, agent, now):
        """The weekly limit is for moves by choice; this one brings the workload back to where it was."""
        Agent.objects.update(max_switches_per_week=1, last_switch_at=clock.now() - timedelta(hours=1))
        SwitchFactory(agent=agent, created_at=clock.now() - timedelta(days=2))
        SwitchFactory(
            agent=agent,
            trigger="emergency",
            new_mode="ondemand",
            new_instance_id="i-0new",
            created_at=clock.now() - timedelta(hours=1),
        )
        assert run_round().ordered == 1
        assert the_record().action == "recover"
        assert Command.objects.get().metadata["is_recovery"] is True

    def test_counts_as_one_afterwards(self, agent):
        command = CommandFactory(agent=agent, status="completed", metadata={"is_recovery": True})
        SwitchFactory(agent=agent, command=command, trigger="automatic")
        evaluation = evaluate(Agent.objects.with_counts().get())
        assert (len(evaluation.situation.history.planned), len(evaluation.situation.history.recoveries)) == (0, 1)


class TestAClientsFleet:
    def test_moves_a_tenth_at_a_time(self, market, tenant):
        AgentFactory.create_batch(3, client=tenant, current_mode="ondemand")
        assert run_round().ordered == 1
        held = DecisionRecord.objects.filter(decision_type="stay")
        assert held.count() == 2
        assert all("as may at once" in record.reason for record in held)


class TestWhenAgentsAreEvaluated:
    @pytest.fixture
    def settled(self, market):
        return AgentFactory(current_mode="spot", current_pool_id=CHEAP, az="us-east-1b")

    def test_every_five_minutes(self, settled, now):
        assert run_round().evaluated == 1
        now.shift(timedelta(minutes=4))
        assert run_round().evaluated == 0
        now.shift(timedelta(minutes=1))
        assert run_round().evaluated == 1

    def test_at_once_when_a_price_of_their_kind_changed(self, settled, now):
        run_round()
        now.shift(timedelta(seconds=15))
        reprice("t3.medium.us-east-1a", "0.0090")
        assert run_round().evaluated == 1

    def test_the_same_answer_is_counted_on_its_record(self, settled, now):
        run_round()
        now.shift(timedelta(minutes=5))
        confirm_prices()
        assert run_round().recorded == 0
        assert (the_record().evaluations, the_record().last_evaluated_at) == (2, clock.now())

    def test_after_an_hour_it_is_written_down_anew(self, settled, now):
        run_round()
        for _ in range(13):
            now.shift(timedelta(minutes=5))
            confirm_prices()
            run_round()
        assert DecisionRecord.objects.count() == 2

    def test_patience_grows_into_a_move(self, settled, now):
        """A small saving moves nothing at once; kept up, it does."""
        confirm_prices()
        run_round()
        reprice("t3.medium.us-east-1a", "0.0090")
        for _ in range(12):
            now.shift(timedelta(minutes=5))
            confirm_prices()
            run_round()
        assert not Command.objects.exists()
        for _ in range(36):
            now.shift(timedelta(minutes=5))
            confirm_prices()
            run_round()
        assert Command.objects.get().target_pool_id == "t3.medium.us-east-1a"

    def test_costs_the_same_statements_for_many(self, market):
        AgentFactory(current_mode="spot", current_pool_id=CHEAP, az="us-east-1b")
        with CaptureQueriesContext(
            connection,
        ) as one:
            run_round()
        AgentFactory.create_batch(20, current_mode="spot", current_pool_id=CHEAP, az="us-east-1b")
        DecisionRecord.objects.all().delete()
        PoolExperience.objects.all().delete()
        with CaptureQueriesContext(connection) as many:
            assert run_round().evaluated >= 20
        assert len(many) <= len(one) + 2


class TestExperience:
    def test_of_the_fleet_is_gathered(self, market, tenant, now):
        agent = AgentFactory(client=tenant, current_pool_id=CHEAP, az="us-east-1b")
        run_round()
        now.shift(timedelta(minutes=10))
        InterruptionEpisodeFactory(agent=agent)
        run_round()
        experience = PoolExperience.objects.get(pool_id=CHEAP)
        assert experience.exposure_hours == pytest.approx(2 / 6, rel=0.01)
        assert experience.reclaims == pytest.approx(1)

    def test_drills_teach_nothing(self, market, now):
        agent = AgentFactory(current_pool_id=CHEAP, az="us-east-1b")
        InterruptionEpisodeFactory(agent=agent, is_drill=True)
        run_round()
        assert PoolExperience.objects.get(pool_id=CHEAP).reclaims == 0

    def test_a_loss_quarantines_the_pool(self, agent):
        loser = AgentFactory(current_pool_id=CHEAP, az="us-east-1b")
        InterruptionEpisodeFactory(agent=loser)
        run_round()
        record = DecisionRecord.objects.get(agent=agent)
        assert record.target_pool_id == "t3.medium.us-east-1a"
        assert {"quarantined"} == {c["verdict"] for c in record.details["candidates"] if c["pool_id"] == CHEAP}


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_rounds_at_once_record_and_order_once(market, tenant):
    agents = [AgentFactory(current_mode="ondemand") for _ in range(20)]
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
    assert DecisionRecord.objects.count() == len(agents)
    assert Command.objects.count() == len(agents)
    assert not Switch.objects.exists()
