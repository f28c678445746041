"""Every address of dashboard-api section 6 × every kind of caller, in three states of a tenant."""

import pytest

from tests.conftest import JsonClient
from tests.contract import worlds
from tests.contract.shapes import assert_shape, assert_times_are_utc, strict
from tests.contract.table import ADMIN, CLIENT, MODEL_CALLS, OBJECT, OWN, PUBLIC, TABLE
from tests.factories import ClientFactory, token_of
from tests.notifications.streams import hang_up

pytestmark = pytest.mark.django_db

PROTECTED = [row for row in TABLE if row.who != PUBLIC] + MODEL_CALLS
every_row = pytest.mark.parametrize("row", TABLE, ids=str)
every_protected_row = pytest.mark.parametrize("row", PROTECTED, ids=str)
EVENT_STREAM = "text/event-stream"


@pytest.fixture
def ids(tenant):
    return worlds.full(tenant)


@pytest.fixture
def other_api(db):
    return JsonClient().bearer(token_of(ClientFactory(name="Somebody else")))


def call(api, row, ids):
    headers = {"Accept": EVENT_STREAM} if "/stream" in row.path else {}
    body = None if row.body is None else _filled(row.body, ids)
    response = getattr(api, row.method)(row.path.format_map(ids), body, headers=headers)
    if response.streaming and EVENT_STREAM in response["Content-Type"]:
        hang_up(response)  # it would go on for ever
    return response


def _filled(value, ids):
    if isinstance(value, dict):
        return {key: _filled(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, ids) for inner in value]
    return value.format_map(ids) if isinstance(value, str) else value


def assert_refused(response, status, *codes):
    body = strict(response)
    assert (response.status_code, body["code"] in codes) == (status, True), body
    assert_shape(body, {"status": str, "error": str, "code": str, "details": dict, "message": str})
    assert body["status"] == "error"
    assert body["data"] is None
    assert body["message"] == body["error"]
    assert response["Cache-Control"] == "no-store"


def assert_granted(response, row):
    assert response.status_code == row.status, response.content
    if row.shape is None:
        return
    body = strict(response)
    assert_shape(body, row.shape)
    assert_times_are_utc(body)
    assert "no-store" in response["Cache-Control"]


class TestWhoMayCall:
    @every_protected_row
    def test_nobody_without_credentials(self, anonymous_api, ids, row):
        response = call(anonymous_api, row, ids)
        assert_refused(response, 401, "UNAUTHORIZED")
        assert response["WWW-Authenticate"] == "Bearer"

    @every_protected_row
    def test_nobody_with_an_unknown_token(self, anonymous_api, ids, row):
        assert_refused(call(anonymous_api.bearer("token-of-nobody"), row, ids), 401, "INVALID_TOKEN")

    @every_protected_row
    def test_nobody_of_an_inactive_client(self, tenant, tenant_api, ids, row):
        type(tenant).objects.filter(pk=tenant.pk).update(is_active=False)
        assert_refused(call(tenant_api, row, ids), 403, "INACTIVE_CLIENT")

    @every_protected_row
    def test_another_tenant(self, other_api, ids, row):
        response = call(other_api, row, ids)
        if row.who in (ADMIN, CLIENT):
            assert_refused(response, 403, "FORBIDDEN")
        elif row.who == OBJECT:
            assert_refused(response, 404, "NOT_FOUND", "AGENT_NOT_FOUND", "INSTANCE_NOT_FOUND", "REPLICA_NOT_FOUND")
        else:
            assert response.status_code == row.status

    @pytest.mark.parametrize("row", [row for row in TABLE if row.who == OBJECT], ids=str)
    def test_what_is_foreign_looks_like_what_does_not_exist(self, other_api, ids, row):
        unknown = call(other_api, row, ids | worlds.NOBODY)
        assert strict(call(other_api, row, ids)) == strict(unknown)

    @every_row
    def test_the_owner(self, tenant_api, ids, row):
        response = call(tenant_api, row, ids)
        if row.who == ADMIN:
            assert_refused(response, 403, "FORBIDDEN")
        else:
            assert_granted(response, row)

    @every_row
    def test_the_operator(self, admin_api, ids, row):
        assert_granted(call(admin_api, row, ids), row)

    @every_row
    def test_an_operators_session(self, staff_api, ids, row):
        assert_granted(call(staff_api, row, ids), row)

    @pytest.mark.parametrize("row", MODEL_CALLS, ids=str)
    def test_no_tenant_touches_models(self, tenant_api, row):
        assert_refused(call(tenant_api, row, {}), 403, "FORBIDDEN")

    @pytest.mark.parametrize("row", [row for row in PROTECTED if row.method != "get"], ids=str)
    def test_not_an_operators_session_from_a_foreign_page(self, staff_api, ids, row):
        staff_api.credentials(HTTP_SEC_FETCH_SITE="cross-site", HTTP_ORIGIN="https://evil.example")
        assert_refused(call(staff_api, row, ids), 403, "FORBIDDEN")


class TestTheTokenItself:
    """GET /api/client/validate: the one address where the admin token is a wrong one."""

    def test_tells_whose_it_is(self, tenant, tenant_api):
        body = strict(tenant_api.get("/api/client/validate"))
        shape = {"valid": bool, "client_id": str, "name": str, "client_name": str, "status": str}
        assert_shape(body, shape)
        assert (body["valid"], body["client_id"], body["email"]) == (True, tenant.public_id, None)

    def test_admin_and_unknown_ones_are_invalid(self, admin_api, anonymous_api):
        for api in (admin_api, anonymous_api, JsonClient().bearer("token-of-nobody")):
            response = api.get("/api/client/validate")
            assert response.status_code == 401
            assert strict(response)["valid"] is False


READS = [row for row in TABLE if row.method == "get" and row.who in (ADMIN, CLIENT, OWN)]
OF_NO_CLIENT = [row for row in READS if row.who != CLIENT and "{" not in row.path]


class TestStatesThatBlankTheDashboard:
    @pytest.mark.parametrize("row", OF_NO_CLIENT, ids=str)
    def test_an_empty_database(self, admin_api, row):
        assert_granted(call(admin_api, row, worlds.NOBODY), row)

    @pytest.mark.parametrize("row", READS, ids=str)
    def test_a_client_without_agents(self, admin_api, tenant, row):
        path = row.path.replace("&agent_id={agent_id}", "")
        response = call(admin_api, type(row)(row.method, path, row.who, row.shape), worlds.empty(tenant))
        if "pricing-history" in path:
            assert_refused(response, 404, "NOT_FOUND", "AGENT_NOT_FOUND")  # no agent whose prices to show
        else:
            assert_granted(response, row)

    @pytest.mark.parametrize("row", [row for row in TABLE if row.method == "get"], ids=str)
    def test_an_agent_that_never_reported_prices(self, admin_api, tenant, row):
        assert_granted(call(admin_api, row, worlds.unpriced(tenant)), row)


class TestParameters:
    @pytest.mark.parametrize("row", [row for row in TABLE if row.method == "get"], ids=str)
    @pytest.mark.parametrize("value", ["abc", "-1", "99999999999999999999", "1e3", "", "%00", "all", "'", "null"])
    def test_nonsense_is_no_crash(self, admin_api, ids, row, value):
        names = ("limit", "offset", "days", "hours", "interval", "range", "status", "mode", "search", "unread", "types")
        path = row.path.format_map(ids).partition("?")[0]
        query = "&".join(f"{name}={value}" for name in names)
        headers = {"Accept": EVENT_STREAM} if "/stream" in path else {}
        response = admin_api.get(f"{path}?{query}", headers=headers)
        assert response.status_code in (200, 400)
        if response.streaming:
            hang_up(response)

    @pytest.mark.parametrize("row", [row for row in TABLE if row.method == "post"], ids=str)
    def test_no_body_is_no_crash(self, admin_api, ids, row):
        response = admin_api.generic("POST", row.path.format_map(ids), b"", content_type="application/json")
        assert response.status_code < 500
        assert_shape(strict(response), {})
