"""Who gets in, and what the others are told (dashboard-api 1.1, 1.3; agent-api 1.3)."""

import json
import logging

import pytest
from django.conf import settings

from clients.authentication import failures
from notifications.models import SystemEvent
from tests.conftest import JsonClient
from tests.factories import ClientFactory, OperatorFactory, token_of

pytestmark = pytest.mark.django_db

ADMIN = ("post", "/api/admin/clients/create", {"name": "Web"})
CLIENT = ("get", "/api/client/validate", None)
AGENT = ("post", "/api/agents/register", {"instance_id": "i-0aaa"})


def call(api, address, **headers):
    method, path, body = address
    return getattr(api, method)(path, body, **headers)


@pytest.fixture(autouse=True)
def _nobody_was_reported_yet():
    failures.clear()


@pytest.mark.parametrize("address", [ADMIN, CLIENT, AGENT])
class TestEverywhere:
    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer two words"])
    def test_who_brings_no_token_is_asked_for_one(self, anonymous_api, address, header):
        headers = {} if header is None else {"HTTP_AUTHORIZATION": header}
        answer = call(anonymous_api, address, **headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_a_wrong_token_is_called_wrong(self, anonymous_api, address):
        answer = call(anonymous_api.bearer("token-wrong"), address)
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_a_token_in_another_case_is_another_token(self, anonymous_api, address, client_token):
        assert call(anonymous_api.bearer(client_token.upper()), address).status_code == 401

    def test_an_inactive_client_is_told_so(self, anonymous_api, address):
        api = anonymous_api.bearer(token_of(ClientFactory(is_active=False)))
        answer = call(api, address)
        assert (answer.status_code, answer.json()["code"]) == (403, "INACTIVE_CLIENT")

    def test_a_token_of_bytes_beyond_ascii_is_wrong_and_no_crash(self, anonymous_api, address):
        assert call(anonymous_api.bearer("tök\udcffen"), address).status_code == 401


def test_a_client_token_opens_no_admin_path(tenant_api):
    answer = call(tenant_api, ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")


def test_the_token_may_come_without_the_word_bearer(anonymous_api, client_token):
    assert call(anonymous_api, CLIENT, HTTP_AUTHORIZATION=client_token).status_code == 200


def test_the_word_bearer_may_be_written_small(anonymous_api, client_token):
    assert call(anonymous_api, CLIENT, HTTP_AUTHORIZATION=f"bearer {client_token}").status_code == 200


def test_the_admin_token_opens_admin_paths(admin_api):
    assert call(admin_api, ADMIN).status_code == 200


def test_the_admin_token_is_no_client_token(admin_api):
    answer = call(admin_api, CLIENT)
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")


def test_the_admin_token_does_not_work_in_a_body(anonymous_api):
    answer = call(anonymous_api, ("post", ADMIN[1], {"name": "Web", "client_token": settings.ADMIN_TOKEN}))
    assert answer.status_code == 401


class TestStaffSession:
    @pytest.fixture
    def browser(self, staff):
        api = JsonClient()
        api.force_login(staff)
        return api

    def allowed(self, browser, **headers):
        answer = call(browser, ADMIN, **headers)
        assert answer.status_code in (200, 403)
        return answer.status_code == 200

    def test_the_own_page_may_change_things(self, browser):
        assert self.allowed(browser, HTTP_SEC_FETCH_SITE="same-origin")

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "none", ""])
    def test_no_other_page_may(self, browser, site):
        assert not self.allowed(browser, HTTP_SEC_FETCH_SITE=site, HTTP_ORIGIN="http://testserver")

    def test_an_old_browser_is_known_by_its_origin(self, browser):
        assert self.allowed(browser, HTTP_ORIGIN="http://testserver")

    def test_an_allowed_origin_is_like_our_own(self, browser, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://dashboard.example.com"]
        assert self.allowed(browser, HTTP_ORIGIN="https://dashboard.example.com")

    @pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://testserver.evil.example"])
    def test_a_foreign_origin_is_refused(self, browser, origin):
        assert not self.allowed(browser, HTTP_ORIGIN=origin)

    def test_neither_header_is_refused(self, browser):
        assert not self.allowed(browser)

    def test_reading_needs_no_origin(self, browser, tenant):
        assert browser.get(f"/api/admin/clients/{tenant.public_id}/token").status_code == 200

    def test_a_user_who_is_no_staff_gets_401_in_json(self, tenant):
        api = JsonClient()
        api.force_login(OperatorFactory(is_staff=False, is_superuser=False))
        answer = api.get(f"/api/admin/clients/{tenant.public_id}/token")
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")

    def test_a_wrong_token_is_not_saved_by_a_session(self, browser):
        answer = call(browser, ADMIN, HTTP_AUTHORIZATION="Bearer token-wrong", HTTP_SEC_FETCH_SITE="same-origin")
        assert answer.status_code == 401

    def test_a_proxys_basic_login_does_not_hide_the_session(self, browser):
        assert self.allowed(browser, HTTP_AUTHORIZATION="Basic dXNlcjpwYXNz", HTTP_SEC_FETCH_SITE="same-origin")

    def test_a_long_user_name_fits_the_event(self):
        api = JsonClient()
        api.force_login(OperatorFactory(username="o" * 150))
        assert call(api, ADMIN, HTTP_SEC_FETCH_SITE="same-origin").status_code == 200


class TestFailures:
    def test_a_wrong_token_leaves_one_event_a_minute_per_address(self, anonymous_api):
        anonymous_api.bearer("token-wrong")
        for _ in range(3):
            call(anonymous_api, CLIENT)
        event = SystemEvent.objects.get(event_type="auth_failed")
        assert event.severity == "warning"
        assert event.metadata == {"peer": "127.0.0.1", "path": "/api/client/validate"}

    def test_another_address_is_reported_on_its_own(self, anonymous_api):
        anonymous_api.bearer("token-wrong")
        call(anonymous_api, CLIENT)
        call(anonymous_api, CLIENT, REMOTE_ADDR="10.0.0.9")
        assert SystemEvent.objects.filter(event_type="auth_failed").count() == 2

    def test_a_call_without_a_token_is_no_event(self, anonymous_api):
        call(anonymous_api, CLIENT)
        assert not SystemEvent.objects.exists()

    def test_an_inactive_clients_event_is_its_own(self, anonymous_api):
        client = ClientFactory(is_active=False)
        call(anonymous_api.bearer(token_of(client)), CLIENT)
        assert SystemEvent.objects.get(event_type="auth_failed").client == client

    def test_the_refused_token_is_neither_logged_nor_stored(self, anonymous_api, caplog):
        secret = "s3cret-of-another-system"
        with caplog.at_level(logging.DEBUG):
            call(anonymous_api.bearer(secret), CLIENT)
        event = SystemEvent.objects.get()
        assert secret not in caplog.text + event.message + json.dumps(event.metadata)


def test_a_client_is_authenticated_with_one_statement(tenant_api, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert call(tenant_api, CLIENT).status_code == 200
