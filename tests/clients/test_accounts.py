"""Creating, deleting and re-keying clients over the API (dashboard-api 2.3, 2.4)."""

import json
import logging

import pytest

from agents.models import Agent
from clients.models import Client, ClientTombstone
from instances.models import Instance
from notifications.models import Notification, SystemEvent
from tests.conftest import JsonClient
from tests.factories import (
    AgentFactory,
    ClientFactory,
    CommandFactory,
    InterruptionEpisodeFactory,
    NotificationFactory,
    ReplicaFactory,
    SwitchFactory,
    SystemEventFactory,
    UsageIntervalFactory,
    token_of,
)

pytestmark = pytest.mark.django_db

CREATE = "/api/admin/clients/create"


def address(client, action=""):
    return f"/api/admin/clients/{client.public_id}{action}"


def works(token):
    return JsonClient().bearer(token).get("/api/client/validate").status_code == 200


class TestCreate:
    def test_the_answer_has_what_the_dashboard_prints(self, admin_api):
        answer = admin_api.post(CREATE, {"name": "  Web shop "})
        assert answer.status_code == 200
        assert answer.json()["success"] is True
        client = answer.json()["client"]
        assert set(client) == {"id", "name", "token", "status", "email", "created_at"}
        assert (client["name"], client["status"], client["email"]) == ("Web shop", "active", None)
        assert client["created_at"].endswith("Z")
        assert works(client["token"])

    def test_the_token_is_long_and_safe_in_urls_and_shells(self, admin_api):
        token = admin_api.post(CREATE, {"name": "Web"}).json()["client"]["token"]
        assert 64 <= len(token) <= 128
        assert token.replace("-", "").isalnum()

    def test_the_client_is_welcomed_and_the_event_names_who_asked(self, admin_api):
        admin_api.post(CREATE, {"name": "Web"})
        assert Notification.objects.get().severity == "info"
        event = SystemEvent.objects.get(event_type="client_created")
        assert (event.client.name, event.actor) == ("Web", "operator")

    @pytest.mark.parametrize("name", ["", "   ", None, 7 * ["x"], {"a": 1}, "x" * 256, "nul\0"])
    def test_a_name_that_is_none_is_refused(self, admin_api, name):
        answer = admin_api.post(CREATE, {"name": name})
        assert (answer.status_code, answer.json()["code"]) == (400, "VALIDATION_ERROR")
        assert answer.json()["details"]["name"]

    def test_no_name_at_all_is_refused(self, admin_api):
        assert admin_api.post(CREATE).status_code == 400

    def test_a_name_may_be_255_characters_of_any_script(self, admin_api):
        assert admin_api.post(CREATE, {"name": "ß" * 255}).status_code == 200

    @pytest.mark.parametrize("again", ["Web", "WEB", " web "])
    def test_a_name_exists_once_whatever_its_case(self, admin_api, again):
        admin_api.post(CREATE, {"name": "Web"})
        answer = admin_api.post(CREATE, {"name": again})
        assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
        assert answer.json()["error"] == "A client with this name exists already"

    def test_a_bad_address_is_refused(self, admin_api):
        assert admin_api.post(CREATE, {"name": "Web", "email": "nobody"}).json()["details"]["email"]

    def test_an_address_exists_once_whatever_its_case(self, admin_api):
        admin_api.post(CREATE, {"name": "Web", "email": "a@example.com"})
        assert admin_api.post(CREATE, {"name": "Shop", "email": "A@Example.com"}).status_code == 409

    @pytest.mark.parametrize("email", [None, "", "  "])
    def test_any_number_of_clients_have_no_address(self, admin_api, email):
        for name in ("Web", "Shop"):
            assert admin_api.post(CREATE, {"name": name, "email": email}).json()["client"]["email"] is None


class TestDelete:
    def test_the_token_dies_and_the_name_is_free_again(self, admin_api):
        client = ClientFactory(name="Web")
        token = token_of(client)
        answer = admin_api.delete(address(client))
        assert answer.status_code == 200
        assert answer.json()["success"] is True
        assert "not terminated" in answer.json()["message"]
        assert not works(token)
        assert admin_api.post(CREATE, {"name": "Web"}).status_code == 200

    def test_everything_of_the_tenant_goes_and_nothing_of_another(self, admin_api):
        for client in (mine := ClientFactory(), other := ClientFactory()):
            agent = AgentFactory(client=client)
            for factory in (CommandFactory, ReplicaFactory, SwitchFactory, InterruptionEpisodeFactory):
                factory(agent=agent)
            UsageIntervalFactory(instance=agent.instances.get())
            NotificationFactory(client=client)
            SystemEventFactory(client=client)
        admin_api.delete(address(mine))
        assert list(Client.objects.all()) == [other]
        assert list(Agent.objects.values_list("client", flat=True)) == [other.pk]
        assert list(Instance.objects.values_list("client", flat=True)) == [other.pk]
        assert list(Notification.objects.values_list("client", flat=True)) == [other.pk]

    def test_a_merged_agent_is_no_obstacle(self, admin_api):
        client = ClientFactory()
        AgentFactory(client=client, merged_into=AgentFactory(client=client))
        assert admin_api.delete(address(client)).status_code == 200

    def test_the_audit_event_and_a_tombstone_stay(self, admin_api):
        client = ClientFactory(name="Web")
        admin_api.delete(address(client))
        event = SystemEvent.objects.get(event_type="client_deleted")
        assert event.client is None
        assert event.metadata == {"client_id": client.public_id, "name": "Web"}
        assert ClientTombstone.objects.get().created_at == client.created_at

    def test_a_stranger_is_404(self, admin_api):
        assert admin_api.delete("/api/admin/clients/nobody").json()["code"] == "NOT_FOUND"


class TestToken:
    def test_it_can_be_shown_again_and_that_is_written_down(self, admin_api, tenant, client_token):
        answer = admin_api.get(address(tenant, "/token"))
        assert answer.json() == {"token": client_token, "client_name": "Tenant"}
        assert answer.headers["Cache-Control"] == "no-store"
        assert SystemEvent.objects.get(event_type="token_revealed").client == tenant

    def test_a_new_one_replaces_the_old_one_at_once(self, admin_api, tenant, client_token):
        answer = admin_api.post(address(tenant, "/regenerate-token"))
        assert set(answer.json()) == {"success", "token", "message"}
        assert works(answer.json()["token"])
        assert not works(client_token)
        assert Notification.objects.get(client=tenant).severity == "warning"
        assert SystemEvent.objects.filter(event_type="token_regenerated").exists()

    def test_without_its_key_it_cannot_be_shown_but_works(self, admin_api, tenant, client_token, settings):
        settings.TOKEN_ENCRYPTION_KEYS = ["another key"]
        answer = admin_api.get(address(tenant, "/token"))
        assert (answer.status_code, answer.json()["code"]) == (409, "TOKEN_UNREADABLE")
        assert works(client_token)

    @pytest.mark.parametrize(("method", "action"), [("get", "/token"), ("post", "/regenerate-token")])
    def test_a_stranger_is_404(self, admin_api, method, action):
        answer = getattr(admin_api, method)(f"/api/admin/clients/nobody{action}")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")

    def test_no_token_is_ever_logged_or_told(self, admin_api, caplog):
        with caplog.at_level(logging.DEBUG):
            first = admin_api.post(CREATE, {"name": "Web"}).json()["client"]
            client = Client.objects.get()
            second = admin_api.post(address(client, "/regenerate-token")).json()["token"]
            admin_api.get(address(client, "/token"))
        told = caplog.text + "".join(str(vars(record)) for record in caplog.records)
        for row in [*SystemEvent.objects.all(), *Notification.objects.all()]:
            told += row.message + json.dumps(row.metadata)
        assert first["token"] not in told
        assert second not in told


class TestValidate:
    def test_a_good_token_learns_whose_it_is(self, tenant_api, tenant):
        assert tenant_api.get("/api/client/validate").json() == {
            "valid": True,
            "client_id": tenant.public_id,
            "name": "Tenant",
            "client_name": "Tenant",
            "email": None,
            "status": "active",
        }

    @pytest.mark.parametrize(("is_active", "status"), [(True, 401), (False, 403)])
    def test_a_bad_one_is_not_valid(self, anonymous_api, is_active, status):
        token = "wrong" if is_active else token_of(ClientFactory(is_active=False))
        answer = anonymous_api.bearer(token).get("/api/client/validate")
        assert (answer.status_code, answer.json()["valid"]) == (status, False)
        assert isinstance(answer.json()["error"], str)
