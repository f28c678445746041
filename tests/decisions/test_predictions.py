"""Live models at decision time (issue 5, 5): asked once a round, replaced by the built-in hazard when they fail."""

import math
import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import joblib
import numpy
import pytest
import time_machine
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from agents.models import Agent, Command
from decisions.engine import Candidate, Evidence, PriceStep, Setbacks
from decisions.features import FEATURES, features_of
from decisions.models import DecisionRecord, ModelFile, ModelSession, PoolPrediction
from decisions.selectors import engine_status
from decisions.services import predictions
from decisions.services.market import load_market
from decisions.services.rounds import run_round
from instances.models import Pool
from notifications.models import SystemEvent
from spotopt.common import clock
from tests.decisions.models import ACTIVATE, a_model, a_model_that_never_ends, a_model_that_says, a_session, send
from tests.factories import AgentFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]

CHEAP, DEAR = "t3.medium.us-east-1b", "t3.medium.us-east-1a"


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(market, tenant):
    return AgentFactory(client=tenant, current_mode="ondemand")


@pytest.fixture
def starts(monkeypatch):
    """One item for each worker that was started."""
    found = []
    start = predictions.started
    monkeypatch.setattr(predictions, "started", lambda *args, **more: found.append(1) or start(*args, **more))
    return found


def later(now, **span):
    now.shift(timedelta(**span))
    Pool.objects.update(last_confirmed_at=clock.now())
    Agent.objects.update(last_heartbeat_at=clock.now())


def shown():
    """{pool: probability} as the latest record has it."""
    candidates = DecisionRecord.objects.order_by("-id")[0].details["candidates"]
    return {one["pool_id"]: one["interruption_probability_24h"] for one in candidates if one["pool_id"]}


def failures():
    return SystemEvent.objects.filter(event_type="ml_models_failed")


class TestDeciding:
    def test_the_probability_replaces_the_hazard_in_what_is_decided(self, agent):
        """Hardly anything is cheaper by enough to outweigh a certain loss, and the model says where it is certain."""
        a_session("active", content=a_model("Identity", price=-4000.0, ondemand_price=1336.5))  # +-4.4
        run_round()
        assert shown()[DEAR] < 0.02
        assert shown()[CHEAP] > 0.9
        assert Command.objects.get().target_pool_id == DEAR

    def test_without_it_the_cheaper_pool_is_taken(self, agent):
        run_round()
        assert Command.objects.get().target_pool_id == CHEAP
        assert shown() == {CHEAP: None, DEAR: None}

    def test_who_asks_is_told_by_what_the_last_round_learnt(self, agent, tenant_api, starts):
        Agent.objects.update(auto_switch_enabled=False)
        a_session("active", content=a_model_that_says(0.125))
        run_round()
        for _ in range(2):
            answer = tenant_api.get(f"/api/agents/{agent.public_id}/switch-recommendation").json()
            assert answer["risk_score"] == pytest.approx(0.125)
        decided = tenant_api.post(f"/api/agents/{agent.public_id}/decide", {}).json()
        assert decided["risk_score"] == pytest.approx(0.125)
        assert len(starts) == 1

    def test_it_is_asked_once_for_all_agents_and_pools_and_not_in_every_round(self, agent, now, starts):
        AgentFactory.create_batch(5, client=agent.client, current_mode="ondemand")
        a_session("active", content=a_model_that_says(0.1))
        run_round()
        later(now, seconds=15)
        run_round()
        assert len(starts) == 1
        assert PoolPrediction.objects.count() == 2
        later(now, seconds=60)
        run_round()
        assert len(starts) == 2

    def test_a_price_it_expects_is_kept_and_decides_nothing(self, agent):
        a_session("active", content=a_model_that_says(0.1, price=0.5))
        run_round()
        assert set(PoolPrediction.objects.values_list("expected_price_24h", flat=True)) == {0.5}
        assert Command.objects.get().target_pool_id == CHEAP

    def test_what_it_said_long_ago_counts_no_more(self, agent, now, tenant_api):
        a_session("active", content=a_model_that_says(0.1))
        run_round()
        later(now, minutes=16)
        assert tenant_api.get(f"/api/agents/{agent.public_id}/switch-recommendation").json()["risk_score"] is None

    def test_nor_does_what_another_session_said(self, agent, tenant_api):
        a_session("active", content=a_model_that_says(0.1))
        run_round()
        ModelSession.objects.update(status="archived")
        assert tenant_api.get(f"/api/agents/{agent.public_id}/switch-recommendation").json()["risk_score"] is None

    def test_limits_are_limits_whatever_it_says(self, agent):
        a_session("active", content=a_model_that_says(0.0))
        Pool.objects.update(price=Decimal("0.0400"))
        run_round()
        assert not Command.objects.exists()


def nowhere(session):
    file = session.files.get()
    predictions.store.path_of(file.sha256).unlink()


class TestFailing:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (a_model_that_says(math.nan), "not a number"),
            (a_model_that_says(1.01), "1.01"),
            (a_model_that_says(-0.2), "-0.2"),
            (a_model_that_says(math.inf), "not a number"),
            (a_model_that_says(0.1, price=-1.0), "expected_price_24h"),
            (a_model_that_never_ends(), "did not answer within 1 seconds"),
            (b"no model", "cannot load"),
        ],
        ids=["NaN", "above 1", "below 0", "infinite", "price", "endless", "damaged"],
    )
    def test_the_built_in_hazard_is_used_with_one_event(self, agent, now, monkeypatch, content, reason):
        if "within" in reason:
            monkeypatch.setattr(predictions, "SECONDS", 1.0)
        a_session("active", content=content)
        for _ in range(3):
            assert run_round().evaluated == 1
            assert shown() == {CHEAP: None, DEAR: None}
            later(now, minutes=6)
        event = failures().get()
        assert (event.severity, reason in event.message) == ("error", True), event.message
        assert "the built-in hazard is used" in event.message
        assert Command.objects.get().target_pool_id == CHEAP

    def test_a_file_that_is_gone(self, agent):
        nowhere(a_session("active", content=a_model_that_says(0.1)))
        run_round()
        assert "no longer on the server's disk" in failures().get().message

    def test_it_rests_and_is_tried_again(self, agent, now, starts):
        a_session("active", content=a_model_that_says(2.0))
        run_round()
        later(now, minutes=2)
        run_round()
        assert len(starts) == 1
        later(now, minutes=4)
        run_round()
        assert len(starts) == 2

    def test_what_it_said_before_is_forgotten(self, agent, now, tenant_api):
        session = a_session("active", content=a_model_that_says(0.1))
        run_round()
        nowhere(session)
        later(now, minutes=2)
        run_round()
        assert tenant_api.get(f"/api/agents/{agent.public_id}/switch-recommendation").json()["risk_score"] is None

    def test_the_session_says_so(self, agent, admin_api):
        a_session("active", content=a_model_that_says(2.0))
        run_round()
        (row,) = admin_api.get("/api/admin/ml-models/sessions").json()
        assert (row["failingSince"], "is 2, not" in row["failure"]) == ("2026-01-05T12:00:00Z", True)
        assert engine_status()["modelStatus"]["loaded"] is False

    def test_when_it_has_long_been_well_that_is_told_too(self, agent, now):
        session = a_session("active", content=a_model_that_says(0.1))
        ModelSession.objects.update(failing_since=clock.now(), failed_at=clock.now(), failure="it crashed")
        for _ in range(2):
            later(now, minutes=45)
            run_round()
        event = SystemEvent.objects.get(event_type="ml_models_recovered")
        assert event.metadata == {"id": session.public_id}
        session.refresh_from_db()
        assert (session.failing_since, session.failure) == (None, "")


class TestFeatures:
    NOW = datetime(2026, 1, 6, 13, 30, tzinfo=UTC)  # a Tuesday

    def features(self, *steps, ondemand_price=0.1, **more):
        given = {"evidence": Evidence()} | more
        prices = tuple(PriceStep(self.NOW - timedelta(hours=ago), price) for ago, price in steps)
        candidate = Candidate("p", "r", prices, self.NOW, **given)
        row = features_of(candidate, ondemand_price=ondemand_price, now=self.NOW)
        assert len(row) == len(FEATURES)
        return dict(zip(FEATURES, row, strict=True))

    def test_of_a_pool_with_a_history(self):
        found = self.features(
            (30, 0.02),
            (12, 0.04),
            (6, 0.03),
            evidence=Evidence(3, reclaims=0.5, exposure_hours=40),
            interruptions=Setbacks(self.NOW - timedelta(hours=2), 1),
        )
        assert found == pytest.approx(
            {
                "price": 0.03,
                "ondemand_price": 0.1,
                "price_ratio": 0.3,
                "price_mean_24h": (12 * 0.02 + 6 * 0.04 + 6 * 0.03) / 24,
                "price_lowest_24h": 0.02,
                "price_highest_24h": 0.04,
                "price_changes_24h": 2,
                "advisor_bucket": 3,
                "fleet_reclaims": 0.5,
                "fleet_exposure_hours": 40,
                "hours_since_reclaim": 2,
                "hours_since_failed_launch": -1,
                "hour_of_day": 13.5,
                "day_of_week": 1,
            }
        )

    def test_what_is_not_known_is_minus_one(self):
        found = self.features(ondemand_price=None)
        assert [name for name, value in found.items() if value != -1] == [
            "fleet_reclaims",
            "fleet_exposure_hours",
            "hour_of_day",
            "day_of_week",
        ]

    def test_only_the_part_of_the_day_that_is_known_is_averaged(self):
        assert self.features((4, 0.02), (2, 0.04))["price_mean_24h"] == pytest.approx(0.03)


def trained(kind):
    """On pools of which those above a third of on-demand are interrupted."""
    dice = numpy.random.default_rng(7)
    features = dice.random((400, len(FEATURES)))
    return kind.fit(features, features[:, FEATURES.index("price_ratio")] > 1 / 3)


class TestScikitLearn:
    """docs/models.md's example."""

    def exported(self, model):
        names = [
            ("label", Int64TensorType([None])),
            ("interruption_probability_24h", FloatTensorType([None, 2])),
        ]
        features = [("features", FloatTensorType([None, len(FEATURES)]))]
        return to_onnx(
            model, initial_types=features, final_types=names, options={"zipmap": False}
        ).SerializeToString()  # fmt: skip

    @pytest.mark.parametrize("model", [LogisticRegression(), RandomForestClassifier(20, random_state=1)])
    def test_a_classifier_goes_from_training_to_a_decision(self, admin_api, agent, model):
        content = self.exported(trained(model))
        session_id = send(admin_api, {"risk.onnx": content}).json()["sessionId"]
        assert admin_api.post(ACTIVATE, {"sessionId": session_id}).status_code == 200
        Pool.objects.filter(pool_id=CHEAP).update(price=Decimal("0.0080"))
        run_round()
        asked = {row.pool_id: row.interruption_probability_24h for row in PoolPrediction.objects.all()}
        rows = [
            features_of(one, ondemand_price=0.0416, now=clock.now())
            for one in candidates_of(agent)
        ]  # fmt: skip
        expected = model.predict_proba(numpy.asarray(rows, dtype="float32"))[:, 1]
        assert [asked[DEAR], asked[CHEAP]] == pytest.approx(list(expected), abs=1e-4)
        assert shown() == pytest.approx(asked, abs=1e-5)

    @pytest.mark.parametrize("dump", [pickle.dumps, "joblib"])
    @pytest.mark.parametrize("model", [LogisticRegression(), RandomForestClassifier(20, random_state=1)])
    def test_a_pickled_one_works_where_pickles_are_allowed(self, agent, settings, tmp_path, model, dump):
        settings.ALLOW_PICKLE_MODELS = True
        if dump == "joblib":
            joblib.dump(trained(model), tmp_path / "model")
            content = (tmp_path / "model").read_bytes()
        else:
            content = dump(trained(model))
        session = a_session("active", content=content)
        ModelFile.objects.update(name="model.pkl")
        run_round()
        session.refresh_from_db()
        assert (session.failure, PoolPrediction.objects.count()) == ("", 2)

    def test_and_is_not_run_where_they_are_not(self, agent):
        a_session("active", content=pickle.dumps(trained(LogisticRegression())))
        ModelFile.objects.update(name="model.pkl")
        run_round()
        assert "ALLOW_PICKLE_MODELS" in failures().get().message


def candidates_of(agent):
    market = load_market(kinds={(agent.instance_type, agent.region)}, now=clock.now())
    return market.candidates[agent.instance_type, agent.region]


class TestInterface:
    """What does not answer as docs/models.md says is not made live."""

    @pytest.mark.parametrize(
        ("files", "why"),
        [
            ({"a.onnx": a_model_that_says(math.nan)}, "not a number"),
            ({"a.onnx": a_model(), "b.onnx": a_model("Relu")}, "exactly one"),
            ({"a.onnx": a_model_that_says(3.0)}, "from 0 to 1"),
        ],
        ids=["NaN", "two", "above 1"],
    )
    def test_it_is_422_and_the_live_one_stays(self, admin_api, files, why):
        live = a_session("active")
        session_id = send(admin_api, files).json()["sessionId"]
        answer = admin_api.post(ACTIVATE, {"sessionId": session_id})
        assert (answer.status_code, answer.json()["code"]) == (422, "MODEL_REFUSED")
        assert why in answer.json()["error"]
        live.refresh_from_db()
        assert live.status == "active"
