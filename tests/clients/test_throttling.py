"""Limits for people and their scripts (dashboard-api 1.10), and none for agents (agent-api 1.2 rule 14)."""

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from clients import ratelimit
from tests.conftest import JsonClient
from tests.factories import AgentFactory, ClientFactory, token_of

ERROR_KEYS = {"status", "error", "code", "data", "details", "message"}


@pytest.fixture
def few(settings):
    settings.READS_PER_MINUTE, settings.WRITES_PER_MINUTE = 3, 2


def read(api, tenant):
    return api.get(f"/api/client/{tenant.public_id}/instances")


def test_each_answer_says_where_the_caller_stands(tenant_api, tenant, few):
    headers = read(tenant_api, tenant).headers
    assert headers["RateLimit-Policy"] == '"reads";q=3;w=60'
    assert headers["RateLimit"] == '"reads";r=2;t=60'
    assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"], headers["RateLimit-Reset"]) == ("3", "2", "60")


def test_the_call_after_the_last_is_refused_and_told_when_to_come_back(tenant_api, tenant, few):
    assert [read(tenant_api, tenant).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = read(tenant_api, tenant)
    assert set(refused.json()) == ERROR_KEYS
    assert refused.json()["code"] == "RATE_LIMITED"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Remaining"] == "0"


def test_after_the_window_the_caller_may_call_again(tenant_api, tenant, few, monkeypatch):
    seconds = [1000.0]
    monkeypatch.setattr(ratelimit.time, "monotonic", lambda: seconds[0])
    assert [read(tenant_api, tenant).status_code for _ in range(4)][-1] == 429
    seconds[0] += 59.9
    assert read(tenant_api, tenant).status_code == 429
    seconds[0] += 0.1
    assert read(tenant_api, tenant).status_code == 200


def test_reads_and_writes_and_callers_are_counted_apart(tenant_api, tenant, admin_api, few):
    path = "/api/client/instances/i-none/terminate"
    assert [tenant_api.post(path).status_code for _ in range(3)] == [404, 404, 429]
    assert read(tenant_api, tenant).status_code == 200
    other = ClientFactory()
    assert read(JsonClient().bearer(token_of(other)), other).headers["RateLimit-Remaining"] == "2"
    assert read(admin_api, tenant).headers["RateLimit-Remaining"] == "2"


def test_operators_behind_one_proxy_are_counted_apart(admin_api, tenant, few):
    path = f"/api/client/{tenant.public_id}/instances"
    with override_settings(TRUSTED_PROXIES=["127.0.0.1"]):
        seen = [admin_api.get(path, headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code for n in range(5)]
    assert seen == [200] * 5


def test_a_limit_of_zero_is_none(tenant_api, tenant, settings):
    settings.READS_PER_MINUTE = 0
    assert "RateLimit" not in read(tenant_api, tenant).headers


def test_the_defaults_let_dashboards_poll(settings):
    assert settings.READS_PER_MINUTE >= 120 <= settings.WRITES_PER_MINUTE


def test_counting_costs_no_statement(tenant_api, tenant, settings):
    with CaptureQueriesContext(connection) as counted:
        read(tenant_api, tenant)
    settings.READS_PER_MINUTE = 0
    with CaptureQueriesContext(connection) as uncounted:
        read(tenant_api, tenant)
    assert len(counted) == len(uncounted)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/api/agents/{}/heartbeat"),
        ("get", "/api/agents/{}/pending-commands"),
        ("get", "/api/agents/{}/commands/pending"),
        ("get", "/api/agents/{}/config"),
        ("get", "/api/agents/{}/replicas"),
        ("get", "/api/agents/{}/emergency-status"),
        ("post", "/api/agents/register"),
        ("get", "/api/client/validate"),
        ("get", "/health"),
        ("get", "/"),
    ],
)
def test_agents_and_health_checks_are_never_throttled(method, path, tenant, tenant_api, settings):
    settings.READS_PER_MINUTE = settings.WRITES_PER_MINUTE = 1
    agent = AgentFactory(client=tenant)
    body = {"instance_id": agent.instance_id} if method == "post" else None
    answers = [getattr(tenant_api, method)(path.format(agent.public_id), body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "RateLimit" not in answers[0].headers


class TestWrongTokens:
    @pytest.fixture(autouse=True)
    def _few(self, settings):
        settings.WRONG_TOKENS_PER_MINUTE = 2

    def guess(self, **headers):
        return JsonClient().bearer("wrong").get("/api/client/x/instances", **headers)

    def test_too_many_get_429_instead_of_401(self, db):
        assert [self.guess().status_code for _ in range(3)] == [401, 401, 429]
        refused = self.guess()
        assert (set(refused.json()), refused.json()["code"]) == (ERROR_KEYS, "RATE_LIMITED")
        assert int(refused.headers["Retry-After"]) >= 1

    def test_good_tokens_from_the_same_address_still_work(self, tenant_api, tenant, admin_api):
        for _ in range(5):
            self.guess()
        agent = AgentFactory(client=tenant)
        assert read(tenant_api, tenant).status_code == 200
        assert read(admin_api, tenant).status_code == 200
        assert tenant_api.post(f"/api/agents/{agent.public_id}/heartbeat", {}).status_code == 200

    def test_another_address_is_not_concerned(self, db):
        for _ in range(5):
            self.guess()
        assert self.guess(REMOTE_ADDR="10.9.9.9").status_code == 401

    @pytest.mark.parametrize("path", ["/api/agents/x/heartbeat", "/api/agents/register"])
    def test_an_agent_with_a_wrong_token_always_gets_401(self, path, db):
        for _ in range(5):
            self.guess()
            assert JsonClient().bearer("wrong").post(path, {"instance_id": "i-1"}).status_code == 401

    def test_calls_without_a_token_are_no_guesses(self, anonymous_api, db):
        assert {anonymous_api.get("/api/client/x/instances").status_code for _ in range(5)} == {401}


def test_memory_stays_bounded_and_the_oldest_are_forgotten(monkeypatch):
    counter = ratelimit.PerMinute()
    monkeypatch.setattr(counter, "LIMIT", 3)
    for key in "abcd":
        counter.count(key)
    assert (counter.count("d").used, counter.count("a").used) == (2, 1)
