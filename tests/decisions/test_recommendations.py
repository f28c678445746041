"""POST decide, GET switch-recommendation, POST issue-switch-command (agent-api 3.28–3.30)."""

from decimal import Decimal

import pytest

from agents.models import Agent, Command
from decisions.models import DecisionRecord
from instances.models import Pool
from notifications.models import SystemEvent
from tests.factories import (
    AgentFactory,
    InterruptionEpisodeFactory,
    OnDemandPriceFactory,
    PoolFactory,
    token_of,
)

pytestmark = pytest.mark.django_db
CHEAP, DEAR = "t3.medium.us-east-1b", "t3.medium.us-east-1a"
BODY = {  # as v4-b sends it
    "spot_pools": [
        {"pool_id": DEAR, "instance_type": "t3.medium", "az": "us-east-1a", "price": 0.0151, "is_current": False},
        {"pool_id": CHEAP, "instance_type": "t3.medium", "az": "us-east-1b", "price": 0.0128, "is_current": False},
    ],
    "ondemand_price": 0.0,
    "current_az": "us-east-1a",
}


@pytest.fixture
def agent(tenant):
    OnDemandPriceFactory(instance_type="t3.medium", region="us-east-1", price=Decimal("0.0416"))
    for zone, price in (("a", "0.0150"), ("b", "0.0128")):
        PoolFactory(az=f"us-east-1{zone}", price=Decimal(price))
    return AgentFactory(client=tenant, current_mode="ondemand")


class TestDecide:
    @pytest.fixture
    def decide(self, agent, tenant_api):
        def call(body=BODY):
            response = tenant_api.post(f"/api/agents/{agent.public_id}/decide", body)
            assert response.status_code == 200
            answer = response.json()
            for name in ("confidence", "risk_score", "expected_savings_per_hour"):
                assert isinstance(answer[name], float | int), name
            assert isinstance(answer["reasoning"], str)
            return answer

        return call

    def test_says_where_to_go(self, decide):
        answer = decide()
        assert (answer["action"], answer["allowed"], answer["target_pool_id"]) == ("SWITCH", True, CHEAP)
        assert (answer["recommended_action"], answer["recommended_mode"]) == ("switch", "spot")

    def test_orders_nothing_itself(self, decide):
        decide()
        assert not Command.objects.exists()

    def test_leaves_a_record_and_keeps_the_prices(self, decide):
        decide()
        assert DecisionRecord.objects.get().source == "agent"
        assert Pool.objects.get(pool_id=DEAR).price == Decimal("0.0151")

    def test_tells_v4b_what_it_cannot_do(self, agent, decide):
        Agent.objects.update(protocol="v4b")
        answer = decide()
        assert (answer["action"], answer["allowed"], answer["recommended_pool_id"]) == ("STAY", False, CHEAP)
        assert "cannot execute switches" in answer["reasoning"]

    def test_a_disabled_agent_stays(self, agent, decide):
        Agent.objects.update(enabled=False)
        answer = decide()
        assert (answer["action"], answer["allowed"]) == ("STAY", False)

    @pytest.mark.parametrize("body", [{}, {"spot_pools": None}, {"instance": [], "pricing": "x"}, {"pricing": {}}])
    def test_takes_any_body(self, decide, body):
        decide(body)

    def test_an_agent_whose_place_is_unknown_stays(self, agent, decide):
        Agent.objects.update(current_mode="unknown")
        assert decide()["action"] == "STAY"

    def test_a_failing_engine_means_staying(self, agent, decide, monkeypatch):
        def fail(agent):
            raise RuntimeError("a secret detail")

        monkeypatch.setattr("decisions.services.recommendations.evaluate", fail)
        answer = decide()
        assert (answer["action"], answer["allowed"]) == ("STAY", False)
        assert "secret" not in str(answer)
        assert SystemEvent.objects.filter(event_type="decision_error").exists()


class TestSwitchRecommendation:
    @pytest.fixture
    def recommend(self, agent, tenant_api):
        return lambda: tenant_api.get(f"/api/agents/{agent.public_id}/switch-recommendation").json()

    def test_says_what_would_be_best(self, agent, recommend):
        answer = recommend()
        assert (answer["decision_type"], answer["recommended_pool_id"]) == ("switch_to_spot", CHEAP)
        assert (answer["auto_switch_enabled"], answer["will_auto_execute"]) == (True, True)
        assert [pool["id"] for pool in answer["alternative_pools"]] == [CHEAP, DEAR]
        assert answer["expected_savings"] > 0
        assert answer["confidence"] is None

    def test_answers_with_auto_switch_off(self, recommend):
        Agent.objects.update(auto_switch_enabled=False)
        answer = recommend()
        assert (answer["decision_type"], answer["will_auto_execute"]) == ("switch_to_spot", False)

    def test_answers_without_prices_or_an_instance(self, agent, recommend):
        Pool.objects.all().delete()
        agent.instances.all().delete()
        Agent.objects.update(instance_id="")
        answer = recommend()
        assert (answer["decision_type"], answer["recommended_pool_id"]) == ("stay_ondemand", None)
        assert answer["alternative_pools"] == []

    def test_writes_nothing(self, recommend):
        recommend()
        assert not DecisionRecord.objects.exists()


class TestIssueSwitchCommand:
    @pytest.fixture
    def issue(self, agent, tenant_api):
        return lambda **body: tenant_api.post(f"/api/agents/{agent.public_id}/issue-switch-command", body)

    def test_queues_the_order(self, agent, issue):
        response = issue(target_mode="spot", target_pool_id=CHEAP, reason="cheaper", priority=5000)
        assert response.status_code == 201
        command = Command.objects.get()
        assert response.json()["command_id"] == command.public_id
        assert (command.created_by, command.priority, command.reason) == ("model", 100, "cheaper")
        assert (command.instance_id, command.terminate_wait_seconds) == (agent.instance_id, 300)

    def test_twice_is_the_same_order(self, issue):
        first, second = issue(target_pool=CHEAP), issue(target_mode="spot", target_pool_id=CHEAP)
        assert (second.status_code, second.json()["duplicate"]) == (200, True)
        assert first.json()["command_id"] == second.json()["command_id"]

    def test_to_where_it_is_changes_nothing(self, issue):
        response = issue(target_mode="ondemand")
        assert (response.status_code, response.json()["success"]) == (200, False)
        assert not Command.objects.exists()

    def test_besides_another_one_is_refused(self, issue):
        issue(target_pool=CHEAP)
        response = issue(target_pool=DEAR)
        assert (response.status_code, response.json()["code"]) == (409, "SWITCH_PENDING")

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"enabled": False}, 400, "AGENT_DISABLED"),
            ({"auto_switch_enabled": False}, 403, "AUTO_SWITCH_DISABLED"),
            ({"protocol": "v4b"}, 409, "UNSUPPORTED_BY_AGENT"),
        ],
    )
    def test_is_refused(self, issue, change, status, code):
        Agent.objects.update(**change)
        response = issue(target_pool=CHEAP)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert not Command.objects.exists()

    def test_is_refused_during_an_interruption(self, agent, issue):
        InterruptionEpisodeFactory(agent=agent)
        assert issue(target_pool=CHEAP).status_code == 409

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"target_mode": "spot"},
            {"target_mode": "moon"},
            {"target_pool_id": "t3.medium.mars-1a"},
            {"target_pool_id": "m5.large.us-east-1a"},
            {"target_pool_id": {"a": 1}},
        ],
    )
    def test_needs_a_target_that_can_be_reached(self, issue, body):
        PoolFactory(instance_type="m5.large", az="us-east-1a")
        response = issue(**body)
        assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")

    def test_is_for_operators_too(self, agent, admin_api):
        path = f"/api/agents/{agent.public_id}/issue-switch-command"
        assert admin_api.post(path, {"target_pool": CHEAP}).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"), [("post", "decide"), ("get", "switch-recommendation"), ("post", "issue-switch-command")]
)
def test_another_tenants_agent_does_not_exist(agent, anonymous_api, method, path):
    api = anonymous_api.bearer(token_of(AgentFactory().client))
    response = getattr(api, method)(f"/api/agents/{agent.public_id}/{path}", {})
    assert (response.status_code, response.json()["code"]) == (404, "AGENT_NOT_FOUND")
