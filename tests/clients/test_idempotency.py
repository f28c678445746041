"""X-Request-ID (dashboard-api 1.11), and why agents are left alone with it (agent-api 1.9)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.db import OperationalError, close_old_connections

from agents.models import Command
from clients import idempotency
from clients.models import Client, IdempotencyKey
from spotopt.common import clock
from tests.conftest import JsonClient
from tests.factories import AgentFactory, ClientFactory, OperatorFactory, PoolFactory, ReplicaFactory, token_of

CREATE = "/api/admin/clients/create"


def create(api, name="Acme", key="k-1", **headers):
    return api.post(CREATE, {"name": name}, headers={"X-Request-ID": key} | headers)


def test_a_repeated_request_gets_the_first_answer_and_does_nothing(admin_api):
    first, second = create(admin_api), create(admin_api)
    assert (second.status_code, second.json()) == (200, first.json())
    assert second.headers["Content-Type"] == "application/json"
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert Client.objects.count() == 1


def test_without_the_header_each_request_is_carried_out(admin_api):
    assert admin_api.post(CREATE, {"name": "A"}).status_code == 200
    assert admin_api.post(CREATE, {"name": "A"}).status_code == 409
    assert not IdempotencyKey.objects.exists()


def test_another_body_under_the_same_key_is_refused(admin_api):
    create(admin_api)
    refused = create(admin_api, name="Other")
    assert (refused.status_code, refused.json()["code"]) == (409, "IDEMPOTENCY_MISMATCH")
    assert not Client.objects.filter(name="Other").exists()


def test_another_query_under_the_same_key_is_refused(admin_api):
    create(admin_api)
    again = admin_api.post(f"{CREATE}?x=1", {"name": "Acme"}, headers={"X-Request-ID": "k-1"})
    assert again.json()["code"] == "IDEMPOTENCY_MISMATCH"


def test_the_key_is_another_one_for_another_path_method_and_principal(admin_api):
    staff_api = JsonClient(headers={"Sec-Fetch-Site": "same-origin"})
    staff_api.force_login(OperatorFactory(username="anna"))
    client_id = create(admin_api).json()["client"]["id"]
    path = f"/api/admin/clients/{client_id}"
    assert "token" in admin_api.post(f"{path}/regenerate-token", headers={"X-Request-ID": "k-1"}).json()
    assert create(staff_api, name="Staff's").json()["client"]["name"] == "Staff's"
    assert admin_api.delete(path, headers={"X-Request-ID": "k-1"}).status_code == 200


def test_a_refusal_is_replayed_as_well(admin_api):
    assert create(admin_api, name="").status_code == 400
    again = create(admin_api, name="")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (400, "true")


def test_a_conflict_is_not_replayed_because_it_may_be_over(admin_api):
    other = ClientFactory(name="Acme")
    assert create(admin_api).status_code == 409
    other.delete()
    assert create(admin_api).status_code == 200


def test_a_server_error_is_not_replayed(admin_api, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("clients.services.create_client", lambda **_: 1 / 0)
        assert create(admin_api).status_code == 500
    assert create(admin_api).status_code == 200


def test_a_throttled_request_is_carried_out_when_it_comes_again(admin_api, settings):
    settings.WRITES_PER_MINUTE = 1
    create(admin_api, name="First", key="k-0")
    assert create(admin_api).status_code == 429
    settings.WRITES_PER_MINUTE = 0
    assert create(admin_api).status_code == 200


def test_while_the_first_one_runs_the_second_is_a_duplicate(admin_api, monkeypatch):
    answers = []
    monkeypatch.setattr(
        "clients.services.create_client", lambda **_: answers.append(create(JsonClient().bearer(settings.ADMIN_TOKEN)))
    )
    create(admin_api)
    (nested,) = answers
    assert (nested.status_code, nested.json()["code"]) == (409, "DUPLICATE_REQUEST")


def test_a_request_whose_process_died_may_be_carried_out_again(admin_api):
    body_hash = _stored_hash(admin_api)
    with time_machine.travel("2026-11-25T10:00:00Z", tick=False) as time:
        IdempotencyKey.objects.update(status_code=None, claimed_at=clock.now(), created_at=clock.now())
        assert create(admin_api).json()["code"] == "DUPLICATE_REQUEST"
        time.shift(idempotency.ABANDONED_AFTER)
        assert create(admin_api).status_code == 200
    assert IdempotencyKey.objects.get().body_hash == body_hash


def _stored_hash(api):
    """Of a create request that left nothing behind but its key."""
    client_id = create(api).json()["client"]["id"]
    api.delete(f"/api/admin/clients/{client_id}")
    return IdempotencyKey.objects.get().body_hash


def test_after_a_day_the_key_is_free_even_before_it_is_pruned(admin_api):
    with time_machine.travel("2026-11-25T10:00:00Z", tick=False) as time:
        create(admin_api)
        time.shift(timedelta(hours=24))
        assert create(admin_api, name="Tomorrow").json()["client"]["name"] == "Tomorrow"
        assert create(admin_api, name="Tomorrow").headers["Idempotent-Replayed"] == "true"


def test_tokens_in_kept_answers_are_encrypted(admin_api):
    token = create(admin_api).json()["client"]["token"]
    kept = IdempotencyKey.objects.get()
    assert kept.answer_encrypted
    assert token not in kept.answer_encrypted


def test_an_answer_whose_key_was_rotated_away_is_not_given_and_the_request_not_repeated(admin_api, settings):
    create(admin_api)
    settings.TOKEN_ENCRYPTION_KEYS = ["another key"]
    again = create(admin_api)
    assert (again.status_code, again.json()["code"]) == (409, "DUPLICATE_REQUEST")
    assert Client.objects.count() == 1


@pytest.mark.parametrize("key", ["", "x" * 129, "two words", "ä"])
def test_a_key_that_cannot_be_kept_is_refused(admin_api, key):
    refused = create(admin_api, key=key)
    assert refused.status_code == 400
    assert "X-Request-ID" in refused.json()["details"]


def test_a_refused_caller_leaves_nothing(tenant_api, anonymous_api):
    assert create(tenant_api).status_code == 403
    assert create(anonymous_api).status_code == 401
    assert not IdempotencyKey.objects.exists()


def test_reads_ignore_the_header(admin_api):
    client = ClientFactory()
    for _ in range(2):
        response = admin_api.get(f"/api/admin/clients/{client.public_id}/token", headers={"X-Request-ID": "k-1"})
        assert response.status_code == 200
    assert not IdempotencyKey.objects.exists()


def test_a_multipart_body_is_the_same_whatever_its_boundary(rf):
    def fingerprint(boundary, text):
        body = f"--{boundary}\r\nContent-Disposition: form-data; name=a\r\n\r\n{text}\r\n--{boundary}--\r\n"
        request = rf.generic("POST", "/x", body, content_type=f"multipart/form-data; boundary={boundary}")
        return idempotency._fingerprint(_Wrapped(request))

    assert fingerprint("abc", "1") == fingerprint("xyz", "1") != fingerprint("xyz", "2")


class _Wrapped:
    def __init__(self, request):
        self._request, self.headers, self.META = request, request.headers, request.META


def test_the_answer_is_given_although_it_cannot_be_kept(admin_api, monkeypatch):
    def fail(*args):
        raise OperationalError("gone")

    monkeypatch.setattr(idempotency, "settle", fail)
    assert create(admin_api).status_code == 200


class TestAgents:
    """v4-b sends the X-Request-ID of its last notice with everything that follows."""

    HEADERS = {"X-Request-ID": "b9f7"}

    @pytest.fixture
    def agent(self, tenant):
        return AgentFactory(client=tenant)

    def test_a_heartbeat_is_never_answered_from_memory(self, agent, tenant_api):
        for _ in range(2):
            Command.objects.all().delete()
            answer = tenant_api.post(f"/api/agents/{agent.public_id}/heartbeat", {}, headers=self.HEADERS)
            assert answer.status_code == 200
            agent.refresh_from_db()
        assert not IdempotencyKey.objects.exists()

    def test_different_reports_under_one_id_are_all_taken(self, agent, tenant_api):
        path = f"/api/agents/{agent.public_id}"
        pool = PoolFactory()
        for price in (0.01, 0.02):
            body = {"spot_pools": [{"pool_id": pool.pool_id, "price": price}]}
            assert tenant_api.post(f"{path}/pricing-report", body, headers=self.HEADERS).status_code == 200
        notice = {"instance_id": agent.instance_id}
        for _ in range(2):
            assert tenant_api.post(f"{path}/rebalance-recommendation", notice, headers=self.HEADERS).status_code == 200
        register = {"instance_id": agent.instance_id, "logical_agent_id": agent.logical_agent_id}
        assert tenant_api.post("/api/agents/register", register, headers=self.HEADERS).status_code == 200
        assert not IdempotencyKey.objects.exists()


def test_people_may_repeat_an_order_for_a_standby(admin_api):
    replica = ReplicaFactory()
    path = f"/api/agents/{replica.agent.public_id}/replicas/{replica.public_id}"
    first, second = (admin_api.delete(path, headers={"X-Request-ID": "d-1"}) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert second.headers["Idempotent-Replayed"] == "true"


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_ten_parallel_requests_with_one_key_are_carried_out_once():
    def call(_):
        try:
            return create(JsonClient().bearer(settings.ADMIN_TOKEN))
        finally:
            close_old_connections()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(call, range(10)))
    codes = {(answer.status_code, answer.json().get("code")) for answer in answers}
    assert codes <= {(200, None), (409, "DUPLICATE_REQUEST")}
    assert Client.objects.count() == 1
    carried_out = [a for a in answers if a.status_code == 200 and "Idempotent-Replayed" not in a.headers]
    assert len(carried_out) == 1


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_of_ten_who_find_an_abandoned_request_one_takes_it_over():
    client = ClientFactory()
    path = f"/api/admin/clients/{client.public_id}/regenerate-token"

    def call(_):
        try:
            return JsonClient().bearer(settings.ADMIN_TOKEN).post(path, headers={"X-Request-ID": "r"})
        finally:
            close_old_connections()

    token = call(0).json()["token"]
    IdempotencyKey.objects.update(status_code=None, claimed_at=clock.now() - timedelta(hours=1))
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(call, range(10)))
    given = {answer.json()["token"] for answer in answers if answer.status_code == 200}
    client.refresh_from_db()
    assert given == {token_of(client)}
    assert token not in given
