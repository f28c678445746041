"""What the sessions of people in each role may do through the API."""

import importlib
import re

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator

from clients.permissions import IsAdministrator
from clients.roles import ADMINISTER, ADMINISTRATORS, OPERATE, OPERATORS, READ_ONLY
from tests.conftest import JsonClient
from tests.factories import AgentFactory, ClientFactory, OperatorFactory, token_of

pytestmark = pytest.mark.django_db

LOOKING = {"/api/events/ticket", "/api/client/instances/{instance_id}/simulate-switch"}  # POSTs that change nothing


@pytest.fixture(scope="module")
def operations():
    """(path, method, view) of everything a browser's session opens."""
    generator = SchemaGenerator()
    generator._initialise_endpoints()
    found = []
    for path, _, method, callback in generator.endpoints:
        view = generator.create_view(callback, method)
        if any(type(one).__name__ == "StaffSessionAuthentication" for one in view.get_authenticators()):
            found.append((path, method, view))
    return found


def browser(role=None, **user):
    person = OperatorFactory(**({"is_superuser": False} | user))
    if role:
        person.groups.add(Group.objects.get(name=role))
    api = JsonClient()
    api.force_login(person)
    api.credentials(HTTP_SEC_FETCH_SITE="same-origin")
    return api


def refused(api, operations):
    """The (path, method) that answer 403."""
    asked = [(path, method, re.sub(r"\{\w+\}", "nobody", path)) for path, method, _ in operations]
    answers = {(path, method): api.generic(method, real, "{}", "application/json") for path, method, real in asked}
    assert {key: a.status_code for key, a in answers.items() if a.status_code in (401, 500)} == {}
    return {key for key, answer in answers.items() if answer.status_code == 403}


def unsafe(operations):
    return {(path, method) for path, method, _ in operations if method not in ("GET", "HEAD")}


def for_administrators(operations):
    return {(path, m) for path, m, view in operations if IsAdministrator in view.permission_classes}


@pytest.fixture
def quiet(settings):
    """Limits of calls a minute are not what is tried here, and a stream would not end."""
    settings.READS_PER_MINUTE = settings.WRITES_PER_MINUTE = 0


@pytest.fixture
def closed(operations):
    return [one for one in operations if "/events/stream" not in one[0]]


@pytest.mark.usefixtures("quiet")
class TestEveryOperation:
    def test_who_may_only_look_changes_nothing(self, closed):
        changing = {(path, method) for path, method in unsafe(closed) if path not in LOOKING}
        assert len(changing) > 20
        assert refused(browser(READ_ONLY), closed) == changing | for_administrators(closed)

    def test_staff_without_a_role_may_look(self, closed):
        assert refused(browser(), closed) == refused(browser(READ_ONLY), closed)

    def test_an_operator_orders_but_manages_no_accounts(self, closed):
        found = refused(browser(OPERATORS), closed)
        assert found == for_administrators(closed)
        assert ("/api/admin/clients/create", "POST") in found
        assert ("/api/admin/clients/{client_id}/token", "GET") in found

    def test_an_administrator_and_a_superuser_are_refused_nothing(self, closed):
        allowed = {("/api/admin/decision-engine/upload", "POST")}  # off unless the server allows it
        assert refused(browser(ADMINISTRATORS), closed) <= allowed
        assert refused(browser(is_superuser=True), closed) <= allowed


def test_the_answer_says_why():
    api = browser(READ_ONLY)
    agent = AgentFactory()
    answer = api.post(f"/api/client/agents/{agent.public_id}/toggle-enabled", {"enabled": False})
    assert (answer.status_code, answer.json()["error"]) == (403, "Your account may look, but change nothing")
    agent.refresh_from_db()
    assert agent.enabled


def test_an_operator_does_what_the_dashboard_offers():
    agent = AgentFactory()
    answer = browser(OPERATORS).post(f"/api/client/agents/{agent.public_id}/toggle-enabled", {"enabled": False})
    assert (answer.status_code, answer.json()["enabled"]) == (200, False)


def test_a_token_is_shown_to_administrators_only():
    client = ClientFactory()
    path = f"/api/admin/clients/{client.public_id}/token"
    assert browser(OPERATORS).get(path).status_code == 403
    assert browser(ADMINISTRATORS).get(path).json()["token"] == token_of(client)


def test_looking_costs_no_question_about_rights():
    def cost(api):
        with CaptureQueriesContext(connection) as queries:
            assert api.get("/api/admin/agents/health-summary").status_code == 200
        return len(queries)

    assert cost(browser(READ_ONLY)) == cost(browser(is_superuser=True))


def test_the_admin_token_may_everything(admin_api):
    assert settings.ADMIN_TOKEN
    assert admin_api.post("/api/admin/clients/create", {"name": "Web"}).status_code == 200


def test_staff_of_before_there_were_roles_keep_the_api():
    old, superuser = OperatorFactory(is_superuser=False), OperatorFactory()
    migration = importlib.import_module("clients.migrations.0004_roles")
    migration.create_roles(apps, type("Editor", (), {"connection": connection}))
    old = type(old).objects.get(pk=old.pk)
    assert old.has_perms([OPERATE, ADMINISTER])
    assert not superuser.user_permissions.exists()
    assert not old.has_perm("clients.change_client")  # the console is as it was
