"""Whatever goes wrong on an API path is said in the contract's error body (dashboard-api 1.6), never in HTML."""

import logging

import pytest
from django.conf import settings as django_settings
from django.db import DataError, IntegrityError, InterfaceError, OperationalError

from clients import services
from tests.conftest import JsonClient

pytestmark = pytest.mark.django_db

CREATE = "/api/admin/clients/create"
KEYS = {"status", "error", "code", "data", "details", "message"}


def assert_is_error(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) >= KEYS
    assert (body["status"], body["data"]) == ("error", None)
    assert body["error"] == body["message"]
    assert isinstance(body["error"], str)
    assert body["error"]
    assert isinstance(body["details"], dict)


@pytest.fixture
def failing(monkeypatch):
    """`failing(error)` lets the creation of a client raise it."""

    def replace(error):
        def fail(**kwargs):
            raise error

        monkeypatch.setattr(services, "create_client", fail)

    return replace


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/agents/", "/api/client/validate/"])
@pytest.mark.parametrize("accept", ["application/json", "text/html", "*/*"])
def test_an_unknown_address_is_404(anonymous_api, path, accept):
    assert_is_error(anonymous_api.get(path, HTTP_ACCEPT=accept), 404, "NOT_FOUND")


def test_elsewhere_a_browser_gets_a_page(anonymous_api):
    answer = anonymous_api.get("/nothing", HTTP_ACCEPT="text/html")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_a_wrong_method_is_405_and_says_which_are_right(admin_api):
    answer = admin_api.get(CREATE)
    assert_is_error(answer, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/", "/health"])
def test_a_wrong_method_outside_the_apps_is_405(anonymous_api, path):
    assert_is_error(anonymous_api.post(path), 405, "METHOD_NOT_ALLOWED")


def test_a_form_is_415(admin_api):
    answer = admin_api.post(CREATE, "name=Web", content_type="application/x-www-form-urlencoded")
    assert_is_error(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_beyond_the_limit_is_413(admin_api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert_is_error(admin_api.post(CREATE, {"name": "x" * 100}), 413, "PAYLOAD_TOO_LARGE")


def test_an_inventory_of_five_mebibytes_is_within_the_limit():
    assert django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE > 5 * 2**20


NO_JSON = ["{", "nonsense", '{"name": NaN}', "[" * 100_000, b"\xff", '{"n": ' + "9" * 5000 + "}"]


@pytest.mark.parametrize("text", NO_JSON, ids=range(len(NO_JSON)))
def test_a_body_that_is_no_json_is_400(admin_api, text):
    assert_is_error(admin_api.post(CREATE, text, content_type="application/json"), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("text", ["[]", '"text"', "7", "null", "true"])
def test_a_body_that_is_no_object_is_400(admin_api, text):
    answer = admin_api.post(CREATE, text, content_type="application/json")
    assert_is_error(answer, 400, "VALIDATION_ERROR")
    assert answer.json()["details"]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_body_is_no_data(admin_api, tenant, text):
    path = f"/api/admin/clients/{tenant.public_id}/regenerate-token"
    assert admin_api.post(path, text, content_type="application/json").status_code == 200


def test_a_host_that_is_not_ours_is_400(anonymous_api, settings):
    settings.ALLOWED_HOSTS = ["spot.example.com"]
    assert_is_error(anonymous_api.get("/api/client/validate", HTTP_HOST="evil.example"), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "error", [RuntimeError("at /srv/secret.py"), DataError(1406, "SQL text"), IntegrityError("SQL text"), KeyError("x")]
)
def test_a_bug_is_500_tells_nothing_and_is_logged_whole(admin_api, failing, caplog, error):
    failing(error)
    answer = admin_api.post(CREATE, {"name": "Web"})
    assert_is_error(answer, 500, "INTERNAL")
    assert answer.json()["error"] == "Internal server error"
    assert any(record.exc_info and record.exc_info[1] is error for record in caplog.records)


NO_CLUSTER = OperationalError(1047, "WSREP has not yet prepared node for application use")


@pytest.mark.parametrize(
    "error", [OperationalError(2013, "lost"), OperationalError(1205, "locked"), InterfaceError(), NO_CLUSTER]
)
def test_a_database_that_is_away_is_503_and_worth_another_try(admin_api, failing, error):
    failing(error)
    answer = admin_api.post(CREATE, {"name": "Web"})
    assert_is_error(answer, 503, "UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_database_that_is_away_at_the_login_is_503_too(anonymous_api, monkeypatch):
    def fail(**kwargs):
        raise OperationalError(2002, "cannot connect to db.internal")

    monkeypatch.setattr("clients.authentication.find_by_token", fail)
    answer = anonymous_api.bearer("any").get("/api/client/validate")
    assert_is_error(answer, 503, "UNAVAILABLE")
    assert "db.internal" not in answer.content.decode()


def test_a_crash_outside_a_view_is_500_in_json(settings, anonymous_api):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.spotopt.test_errors.crashing_middleware"]
    assert_is_error(JsonClient().get("/api/client/validate"), 500, "INTERNAL")


def test_a_database_that_fails_outside_a_view_is_503(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.spotopt.test_errors.middleware_without_database"]
    answer = JsonClient().get("/api/client/validate")
    assert_is_error(answer, 503, "UNAVAILABLE")
    assert answer.headers["Retry-After"]


def crashing_middleware(get_response):
    def crash(request):
        raise RuntimeError("at /srv/secret.py")

    return crash


def middleware_without_database(get_response):
    def fail(request):
        raise OperationalError(2006, "gone")

    return fail


def test_every_request_is_logged_once_without_its_query(tenant_api, caplog, tenant):
    with caplog.at_level(logging.INFO, "spotopt.request"):
        tenant_api.get("/api/client/validate?token=secret", HTTP_X_REQUEST_ID="from-the-caller")
    (record,) = [r for r in caplog.records if r.name == "spotopt.request"]
    assert (record.method, record.path, record.status) == ("GET", "/api/client/validate", 200)
    assert record.caller_request_id == "from-the-caller"
    assert record.ms >= 0
    assert "secret" not in str(vars(record))


@pytest.mark.parametrize("given", ["line\nbreak", "x" * 65, "{}"])
def test_a_callers_id_that_is_no_plain_word_is_not_logged(tenant_api, caplog, given):
    with caplog.at_level(logging.INFO, "spotopt.request"):
        tenant_api.get("/api/client/validate", HTTP_X_REQUEST_ID=given)
    assert not hasattr(caplog.records[-1], "caller_request_id")
