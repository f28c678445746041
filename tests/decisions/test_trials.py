"""A model session is replayed on the server's own recorded history before it is made live (issue 5, 5)."""

import math
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from decisions.backtest.experience import Experience, candidates_by_slot, evidence_by_slot, with_experience
from decisions.models import ModelSession, SpotAdvice
from decisions.services import predictions, trials
from instances.models import LaunchFailure, Pool, SpotPriceHistory
from notifications.models import SystemEvent
from spotopt.common import clock
from tests.decisions.backtest.markets import START, market, series
from tests.decisions.models import ACTIVATE, SESSIONS, a_model_that_never_ends, a_model_that_says, a_session
from tests.factories import (
    AgentFactory,
    InterruptionEpisodeFactory,
    OnDemandPriceFactory,
    PoolFactory,
    UsageIntervalFactory,
)

HOUR = timedelta(hours=1)
ZONES = {"a": ("0.0150", "0.0150"), "b": ("0.0128", "0.0200"), "c": ("0.0180", "0.0130")}  # cheaper in turns


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-25T12:00:00Z", tick=False) as travel:
        yield travel


def record(days):
    """Prices of three pools that change every two days, confirmed every 6 h."""
    OnDemandPriceFactory(price=Decimal("0.0416"))
    SpotAdvice.objects.create(instance_type="t3.medium", region="us-east-1", bucket=1, savings_percent=60)
    for zone, prices in ZONES.items():
        pool = PoolFactory(az=f"us-east-1{zone}", price=Decimal(prices[0]), history=False)
        SpotPriceHistory.objects.bulk_create(
            SpotPriceHistory(pool=pool, at=clock.now() - hours * HOUR, price=Decimal(prices[hours // 48 % 2]))
            for hours in range(0, days * 24, 6)
        )


def activate(api, session, **more):
    return api.post(ACTIVATE, {"sessionId": session.public_id} | more)


def result(session):
    return ModelSession.objects.get(pk=session.pk).backtest


@pytest.mark.django_db
@pytest.mark.usefixtures("model_dir")
class TestActivation:
    def test_as_good_as_what_is_live_is_made_live(self, admin_api):
        record(days=10)
        session = a_session(content=a_model_that_says(0.003))
        answer = activate(admin_api, session)
        assert answer.status_code == 200, answer.json()
        found = result(session)
        assert (found["status"], found["against"], found["workloads"], found["found"]) == ("passed", "built-in", 1, 1)
        assert found["score"] == pytest.approx(found["score_against"], abs=0.5)
        assert found["score"] > 50
        assert found["days"] == pytest.approx(10, abs=0.5)
        assert answer.json()["backtest"] == found
        assert found["summary"] in answer.json()["message"]

    def test_worse_is_refused_and_the_live_one_stays(self, admin_api):
        """It says that every pool is lost soon, so the workload would put up with a dear one."""
        record(days=10)
        live = a_session("active", content=a_model_that_says(0.003))
        session = a_session(content=a_model_that_says(1.0))
        answer = activate(admin_api, session)
        assert (answer.status_code, answer.json()["code"]) == (422, "MODELS_WORSE")
        assert "They can be forced, with a reason" in answer.json()["error"]
        assert answer.json()["details"]["score"] < answer.json()["details"]["score_against"] - 1
        found = result(session)
        assert (found["status"], found["against"], found["forced_because"]) == ("worse", live.public_id, "")
        assert set(ModelSession.objects.values_list("status", flat=True)) == {"active", "uploaded"}
        rows = {row["id"]: row for row in admin_api.get(SESSIONS).json()}
        assert rows[session.public_id]["backtest"] == found
        assert rows[live.public_id]["backtest"] is None

    def test_unless_it_is_forced_with_a_reason_that_goes_on_record(self, staff_api, staff):
        record(days=10)
        session = a_session(content=a_model_that_says(1.0))
        assert activate(staff_api, session, forceReason="").status_code == 422
        assert activate(staff_api, session, forceReason="A drill").status_code == 200
        assert result(session)["forced_because"] == "A drill"
        event = SystemEvent.objects.get(event_type="ml_models_activated")
        assert (event.actor, event.severity, event.metadata["forced_because"]) == (staff.username, "warning", "A drill")
        assert event.metadata["backtest"]["status"] == "worse"

    def test_a_reason_given_for_nothing_is_not_recorded_as_a_force(self, staff_api):
        record(days=10)
        session = a_session(content=a_model_that_says(0.003))
        assert activate(staff_api, session, forceReason="To be sure").status_code == 200
        event = SystemEvent.objects.get(event_type="ml_models_activated")
        assert (event.severity, event.metadata["forced_because"]) == ("info", None)

    def test_the_margin_is_a_setting(self, admin_api, settings):
        record(days=10)
        settings.MODEL_BACKTEST_MARGIN = 100.0
        assert activate(admin_api, a_session(content=a_model_that_says(1.0))).status_code == 200

    @pytest.mark.parametrize("days", [0, 5])
    def test_too_little_history_is_said_and_does_not_stop_it(self, admin_api, days):
        if days:
            record(days=days)
        session = a_session(content=a_model_that_says(1.0))
        answer = activate(admin_api, session)
        assert answer.status_code == 200
        assert (result(session)["status"], result(session)["score"]) == ("too_little_history", None)
        assert "not backtested" in answer.json()["message"]
        assert "not backtested" in SystemEvent.objects.get(event_type="ml_models_activated").message

    def test_a_replay_that_does_not_finish_is_refused_unless_forced(self, admin_api, settings, monkeypatch):
        record(days=10)
        monkeypatch.setattr(trials, "_replayed", lambda *args: iter(()))
        session = a_session(content=a_model_that_says(0.003))
        answer = activate(admin_api, session)
        assert (answer.status_code, answer.json()["code"]) == (422, "MODELS_WORSE")
        assert result(session)["status"] == "unfinished"
        assert activate(admin_api, session, forceReason="The machine is slow").status_code == 200

    def test_it_ends_when_its_time_is_over(self, settings, monkeypatch):
        settings.MODEL_BACKTEST_SECONDS = 4
        record(days=10)
        ticks = iter([0.0, 1.0, 99.0])
        monkeypatch.setattr(trials.time, "monotonic", lambda: next(ticks, 99.0))
        markets, known = trials._recorded_markets()
        assert len(list(trials._replayed(markets * 3, known, _Says(0.1), None, deadline=2.0))) == 2

    @pytest.mark.parametrize("content", [a_model_that_says(math.nan), a_model_that_never_ends()])
    def test_a_live_session_that_fails_counts_as_the_built_in_hazard(self, admin_api, content, monkeypatch):
        monkeypatch.setattr(trials, "SECONDS", 2.0)
        record(days=10)
        a_session("active", content=content)
        session = a_session(content=a_model_that_says(0.003))
        assert activate(admin_api, session).status_code == 200
        assert result(session)["against"] == "built-in"

    def test_types_that_the_fleet_runs_come_first(self):
        record(days=10)
        OnDemandPriceFactory(instance_type="m5.large", price=Decimal("0.096"))
        for zone in "ab":
            PoolFactory(instance_type="m5.large", az=f"us-east-1{zone}", price=Decimal("0.03"), history=False)
        AgentFactory(instance_type="t3.medium")
        markets, _ = trials._recorded_markets()
        assert [one.name for one in markets] == ["us-east-1 t3.medium same-type"]

    def test_the_same_history_gives_the_same_result(self, settings):
        record(days=10)
        session = a_session(content=a_model_that_says(0.01))
        assert trials.trial_of(session) == trials.trial_of(session)

    def test_the_console_shows_it_and_can_force_it(self, client, staff):
        client.force_login(staff)
        record(days=10)
        session = a_session(content=a_model_that_says(1.0))

        def act(action, **more):
            data = {"action": action, "_selected_action": [session.pk]} | more
            answer = client.post("/admin/decisions/modelsession/", data, follow=True)
            return [str(message) for message in answer.context["messages"]], answer.content.decode()

        messages, page = act("make_live")
        assert "would do worse" in messages[0]
        assert "worse: " in page
        assert "whatever comes out" in act("force_live")[1]
        assert "This field is required" in act("force_live", confirmed="yes")[1]
        assert "are live" in act("force_live", confirmed="yes", reason="A drill")[0][0]
        page = client.get(f"/admin/decisions/modelsession/{session.pk}/change/").content.decode()
        assert "forced: A drill" in page

    def test_rolling_back_is_not_held_up_by_it(self, admin_api):
        record(days=10)
        a_session("active", content=a_model_that_says(0.003))
        fallback = a_session("fallback", content=a_model_that_says(1.0))
        assert admin_api.post("/api/admin/ml-models/fallback").json()["sessionId"] == fallback.public_id

    def test_but_a_fallback_that_answers_nonsense_is_not_gone_back_to(self, admin_api):
        live = a_session("active", content=a_model_that_says(0.003))
        a_session("fallback", content=a_model_that_says(7.0))
        assert admin_api.post("/api/admin/ml-models/fallback").status_code == 422
        assert ModelSession.objects.get(status="active") == live


class _Says:
    def __init__(self, probability):
        self.answer = predictions.Prediction(probability, None)

    def predict(self, rows):
        return [self.answer] * len(rows)


@pytest.mark.django_db
class TestRecordedExperience:
    def test_what_the_fleet_went_through_is_read(self):
        record(days=10)
        pool_id = Pool.objects.get(az="us-east-1a").pool_id
        agent = AgentFactory(current_pool_id=pool_id)
        InterruptionEpisodeFactory(agent=agent, pool_id=pool_id, detected_at=clock.now() - 30 * HOUR)
        InterruptionEpisodeFactory(
            agent=agent, pool_id=pool_id, detected_at=clock.now() - 20 * HOUR, is_drill=True, status="resolved"
        )
        LaunchFailure.objects.create(
            client=agent.client, agent=agent, pool_id=pool_id, at=clock.now() - 10 * HOUR, error_class="capacity"
        )
        UsageIntervalFactory(
            instance=agent.instances.get(), pool_id=pool_id, mode="spot", started_at=clock.now() - 50 * HOUR
        )
        (found,), known = trials._recorded_markets()
        own = known[pool_id]
        assert own.reclaims == [clock.now() - 30 * HOUR]
        assert own.failed_launches == [clock.now() - 10 * HOUR]
        end = found.at(found.slots)
        assert own.hours == pytest.approx((end - (clock.now() - 50 * HOUR)) / HOUR)
        rates = {pool.pool_id: pool.reclaims_per_hour for pool in found.pools}
        assert rates[pool_id] > 1.5 * min(rates.values())  # the others are as AWS publishes


class TestExperience:
    def experience(self, *, reclaims=(), stays=()):
        at = lambda hours: START + hours * HOUR  # noqa: E731
        return Experience([at(hour) for hour in reclaims], [], [(at(begin), at(end)) for begin, end in stays])

    def test_exposure_counts_from_the_slot_after_it_happened(self):
        given = market(series("p", [0.3] * 5, bucket=1))
        known = evidence_by_slot(given, given.pools[0], self.experience(stays=[(0.5, 2.25), (1, 2)]))
        fade = 0.5 ** (1 / 24)
        hours = [0, 0.5 * fade]
        hours.append((hours[-1] + 2) * fade)
        hours.append((hours[-1] + 0.25) * fade)
        hours.append(hours[-1] * fade)
        assert [one.exposure_hours for one in known] == pytest.approx(hours)

    def test_stays_that_reach_beyond_the_market_are_cut(self):
        given = market(series("p", [0.3] * 3))
        known = evidence_by_slot(given, given.pools[0], self.experience(stays=[(-10, 50)]))
        fade = 0.5 ** (1 / 24)
        assert [one.exposure_hours for one in known] == pytest.approx([0, fade, (fade + 1) * fade])

    def test_a_reclaim_is_known_of_when_it_has_happened(self):
        given = market(series("p", [0.3] * 4))
        known = evidence_by_slot(given, given.pools[0], self.experience(reclaims=[1.5]))
        assert [one.reclaims > 0 for one in known] == [False, False, True, True]

    def test_a_model_is_shown_the_prices_of_the_last_day(self):
        prices = [0.3, 0.3, None, 0.4, *[0.5] * 30]
        given = market(series("p", prices))
        shown = [one.prices for _, one in candidates_by_slot(given, given.pools[0], Experience())]
        assert [step.price for step in shown[1]] == [0.3]
        assert shown[2] == ()
        assert [step.price for step in shown[4]] == [0.4, 0.5]
        assert [step.price for step in shown[-1]] == [0.5]

    def test_pools_take_instances_back_as_often_as_they_did(self):
        given = market(series("rated", [0.3], bucket=1), series("unrated", [0.3]))
        quiet = self.experience(stays=[(0, 10_000)])
        busy = self.experience(reclaims=range(10), stays=[(0, 100)])
        rate = lambda known, name: next(  # noqa: E731
            one.reclaims_per_hour for one in with_experience(given, {name: known}).pools if one.pool_id == name
        )
        published = rate(Experience(), "rated")
        assert rate(quiet, "rated") < published < rate(busy, "rated")
        assert (rate(Experience(), "unrated"), rate(quiet, "unrated")) == (0, 0)
        assert rate(busy, "unrated") == pytest.approx(10 / 124)
