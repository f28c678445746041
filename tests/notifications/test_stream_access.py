"""Who may open which event stream, and tickets for browsers (dashboard-api 2.9)."""

from datetime import timedelta

import pytest
import time_machine

from clients.services import set_active
from notifications.models import StreamTicket
from tests.factories import ClientFactory
from tests.notifications.streams import hang_up

pytestmark = pytest.mark.django_db

STREAM = "/api/events/stream"


def status_of(api, path, query=None, **headers):
    response = api.get(path, query, headers={"Accept": "text/event-stream"} | headers)
    hang_up(response)
    return response.status_code


def ticket_of(api):
    answer = api.post("/api/events/ticket")
    assert answer.status_code == 200
    return answer.json()["ticket"]


def test_the_headers_keep_proxies_from_buffering(tenant_api):
    response = tenant_api.get(STREAM, headers={"Accept": "text/event-stream"})
    hang_up(response)
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "no-cache"
    assert response["X-Accel-Buffering"] == "no"
    assert "Connection" not in response


def test_only_get_opens_a_stream(tenant_api):
    assert tenant_api.head(STREAM).status_code == tenant_api.post(STREAM).status_code == 405


def test_a_client_opens_its_own_only(tenant, tenant_api):
    foreign = ClientFactory().public_id
    assert status_of(tenant_api, f"{STREAM}/{tenant.public_id}") == 200
    assert status_of(tenant_api, STREAM, {"client_id": tenant.public_id}) == 200
    assert status_of(tenant_api, f"{STREAM}/{foreign}") == 403
    assert status_of(tenant_api, STREAM, {"client_id": foreign}) == 403


def test_the_operator_opens_any_that_there_is(tenant, admin_api):
    assert status_of(admin_api, STREAM) == 200
    assert status_of(admin_api, STREAM, {"client_id": tenant.public_id}) == 200
    assert status_of(admin_api, f"{STREAM}/nobody") == 404
    assert status_of(admin_api, STREAM, {"client_id": "nobody"}) == 404


def test_a_refusal_is_json_though_only_events_were_accepted(anonymous_api):
    response = anonymous_api.get(STREAM, headers={"Accept": "text/event-stream"})
    assert (response.status_code, response["Content-Type"]) == (401, "application/json")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("last", ["", "abc", "-1", "1e3", "9" * 40, "٣"])
def test_a_senseless_resume_point_is_ignored(tenant_api, last):
    assert status_of(tenant_api, STREAM, {"last_event_id": last}) == 200


class TestTickets:
    def test_a_ticket_opens_one_stream(self, tenant_api, anonymous_api):
        ticket = ticket_of(tenant_api)
        assert status_of(anonymous_api, STREAM, {"ticket": ticket}) == 200
        assert status_of(anonymous_api, STREAM, {"ticket": ticket}) == 401

    def test_it_gives_the_rights_of_who_asked_for_it(self, tenant, tenant_api, admin_api, anonymous_api):
        foreign = ClientFactory().public_id
        assert status_of(anonymous_api, f"{STREAM}/{foreign}", {"ticket": ticket_of(tenant_api)}) == 403
        assert status_of(anonymous_api, f"{STREAM}/{foreign}", {"ticket": ticket_of(admin_api)}) == 200

    def test_it_is_good_for_a_minute(self, tenant_api, anonymous_api):
        with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
            answer = tenant_api.post("/api/events/ticket").json()
            assert (answer["expires_in"], answer["expires_at"]) == (60, "2026-01-05T10:01:00Z")
            traveller.shift(timedelta(seconds=60))
            assert status_of(anonymous_api, STREAM, {"ticket": answer["ticket"]}) == 401

    def test_a_client_that_was_shut_out_meanwhile_is_refused(self, tenant, tenant_api, anonymous_api):
        ticket = ticket_of(tenant_api)
        set_active(client=tenant, is_active=False)
        assert status_of(anonymous_api, STREAM, {"ticket": ticket}) == 403

    def test_it_opens_nothing_else(self, tenant_api, anonymous_api):
        assert anonymous_api.get("/api/notifications", {"ticket": ticket_of(tenant_api)}).status_code == 401

    def test_the_database_does_not_know_it(self, tenant_api):
        ticket = ticket_of(tenant_api)
        assert ticket not in StreamTicket.objects.get().ticket_hash

    def test_old_ones_are_cleared_away(self, tenant_api):
        with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
            ticket_of(tenant_api)
            traveller.shift(timedelta(seconds=61))
            ticket_of(tenant_api)
        assert StreamTicket.objects.count() == 1
