"""Each role on each page and each action of the console, whatever models there are."""

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from clients.models import Client
from clients.roles import ADMINISTRATORS, OPERATORS, READ_ONLY, ROLES, give_permissions
from decisions.models import UploadedEngine
from instances.models import Pool
from notifications.models import EmailRecipient, WebhookEndpoint
from notifications.services import outbox
from tests.factories import ClientFactory, OperatorFactory, WebhookEndpointFactory
from tests.spotopt.console.conftest import REGISTERED, page
from tests.spotopt.test_admin import fill

pytestmark = pytest.mark.django_db

PEOPLE = {User, Group}
ACCOUNTS = {Client, WebhookEndpoint, EmailRecipient, User}  # administrators add, change and delete them
FORMS = {Agent, Pool}  # operators change some of their fields
ADMINISTERED = ACCOUNTS | {UploadedEngine}  # whose actions are for administrators


def rights(role, model):
    """What the role may do to rows of the model, as the four words of Django."""
    if role == ADMINISTRATORS and model in ACCOUNTS:
        return {"view", "add", "change", "delete"}
    if model in PEOPLE and role != ADMINISTRATORS:
        return set()
    return {"view", "change"} if role != READ_ONLY and model in FORMS else {"view"}


def first(model):
    if model is User:
        return OperatorFactory(is_superuser=False)
    return model._default_manager.order_by("pk").first()


def writes(queries):
    """Statements that change rows, but for sessions'."""
    words = ("INSERT", "UPDATE", "DELETE", "REPLACE")
    changing = [q["sql"] for q in queries if q["sql"].startswith(words)]
    return [sql for sql in changing if "django_session" not in sql]


def test_pages_open_and_close_by_role(somebody):
    role, person = somebody
    fill(1)
    wrong = {}
    for model in REGISTERED:
        pk, may = first(model).pk, rights(role, model)
        answers = {
            "list": (person.browser.get(page(model, "changelist")), "view"),
            "row": (person.browser.get(page(model, "change", pk)), "view"),
            "history": (person.browser.get(page(model, "history", pk)), "view"),
            "add": (person.browser.get(page(model, "add")), "add"),
            "adding": (person.browser.post(page(model, "add"), {}), "add"),
            "changing": (person.browser.post(page(model, "change", pk), {"_continue": "1"}), "change"),
            "delete": (person.browser.get(page(model, "delete", pk)), "delete"),
        }
        if "delete" not in may:
            answers["deleting"] = (person.browser.post(page(model, "delete", pk), {"post": "yes"}), "delete")
        for name, (answer, needed) in answers.items():
            if (answer.status_code == 403) != (needed not in may) or answer.status_code >= 404:
                wrong[f"{model._meta.label} {name}"] = answer.status_code
    assert wrong == {}


def test_actions_are_offered_by_role(root, somebody):
    role, person = somebody
    unlike = {}
    for model in REGISTERED:
        every = root.offered(model)
        wanted = {READ_ONLY: set(), OPERATORS: every - {"delete_selected"}, ADMINISTRATORS: every}[role]
        if role == OPERATORS and model in ADMINISTERED:
            wanted = set()
        if model is Group:
            wanted = set()
        if (offered := person.offered(model)) != wanted:
            unlike[model._meta.label] = (offered, wanted)
    assert unlike == {}


def test_what_is_not_offered_does_nothing_when_it_is_sent_all_the_same(root, somebody):
    role, person = somebody
    fill(1)
    tried, changed = 0, {}
    for model in REGISTERED:
        for action in root.offered(model) - person.offered(model):
            tried += 1
            row = first(model)
            with CaptureQueriesContext(connection) as queries:
                person.press(model, action, row, confirmed="yes", post="yes", target="ondemand", reason="x")
            if found := writes(queries.captured_queries):
                changed[f"{model._meta.label} {action}"] = found
    assert changed == {}
    assert tried > {READ_ONLY: 25, OPERATORS: 8, ADMINISTRATORS: 0}[role]
    assert not LogEntry.objects.filter(user=person.user).exists()


def test_every_action_that_is_pressed_is_noted_with_its_row(person, monkeypatch):
    """Also those that are refused: somebody tried."""
    monkeypatch.setattr(outbox, "send_test", lambda target: "")
    fill(1)
    administrator, missing = person(ADMINISTRATORS), []
    for model in REGISTERED:
        for action in sorted(administrator.offered(model) - {"delete_selected"}):
            row = first(model)
            with transaction.atomic():
                answer = administrator.press(model, action, row, confirmed="yes", target="ondemand", reason="x")
                noted = LogEntry.objects.filter(user=administrator.user, object_id=row.pk)
                if answer.status_code != 200 or noted.count() != 1:
                    missing.append((model._meta.label, action, answer.status_code, noted.count()))
                transaction.set_rollback(True)
    assert missing == []


def test_a_question_is_not_noted_before_it_is_answered(person):
    client, administrator = ClientFactory(), person(ADMINISTRATORS)
    assert "stops working at once" in administrator.press(Client, "regenerate_token", client).content.decode()
    assert not LogEntry.objects.exists()


def test_staff_without_a_role_finds_an_empty_console(client):
    client.force_login(OperatorFactory(is_superuser=False))
    assert client.get("/admin/").status_code == 200
    assert {m._meta.label for m in REGISTERED if client.get(page(m, "changelist")).status_code != 403} == set()


def test_a_webhooks_path_which_is_often_its_secret_is_for_those_who_may_change_it(somebody):
    role, person = somebody
    endpoint = WebhookEndpointFactory(url="https://hooks.example.com/in?key=path-secret")
    html = person.browser.get(page(WebhookEndpoint, "change", endpoint.pk)).content.decode()
    assert "hooks.example.com" in html
    assert ("path-secret" in html) == (role == ADMINISTRATORS)


class TestPeople:
    def form(self, user, **changes):
        fields = {"username": user.username, "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
        return fields | {"is_active": "on", "is_staff": "on"} | changes

    def test_an_administrator_gives_roles(self, person):
        administrator, other = person(ADMINISTRATORS), OperatorFactory(is_superuser=False)
        groups = [Group.objects.get(name=OPERATORS).pk]
        answer = administrator.browser.post(page(User, "change", other.pk), self.form(other, groups=groups))
        assert answer.status_code == 302
        assert other.groups.get().name == OPERATORS

    def test_an_administrator_makes_nobody_a_superuser_and_adds_no_single_rights(self, person):
        administrator = person(ADMINISTRATORS)
        right = Permission.objects.get(codename="add_group").pk
        form = self.form(administrator.user, is_superuser="on", user_permissions=[right])
        administrator.browser.post(page(User, "change", administrator.user.pk), form)
        administrator.user.refresh_from_db()
        assert not administrator.user.is_superuser
        assert not administrator.user.user_permissions.exists()

    def test_a_superuser_is_out_of_an_administrators_reach(self, person, root):
        administrator, pk = person(ADMINISTRATORS), root.user.pk
        assert administrator.browser.post(page(User, "change", pk), self.form(root.user)).status_code == 403
        assert administrator.browser.post(f"/admin/auth/user/{pk}/password/", {}).status_code == 403
        assert administrator.browser.post(page(User, "delete", pk), {"post": "yes"}).status_code == 403
        administrator.press(User, "delete_selected", root.user, post="yes")
        assert User.objects.filter(pk=pk).exists()

    def test_the_three_roles_are_nobodys_to_change(self, root):
        group = Group.objects.get(name=READ_ONLY)
        assert root.browser.get(page(Group, "change", group.pk)).status_code == 200
        assert root.browser.post(page(Group, "change", group.pk), {"name": "X"}).status_code == 403
        assert root.browser.post(page(Group, "delete", group.pk), {"post": "yes"}).status_code == 403


class TestGivingPermissions:
    def give(self):
        for config in apps.get_app_configs():
            give_permissions(config, using="default", apps=apps)

    def test_is_undone_and_redone_by_migrate(self):
        operators = Group.objects.get(name=OPERATORS)
        before = set(operators.permissions.values_list("codename", flat=True))
        operators.permissions.set([Permission.objects.get(codename="add_client")])
        Group.objects.get(name=READ_ONLY).delete()
        self.give()
        assert set(operators.permissions.values_list("codename", flat=True)) == before
        assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)

    def test_writes_nothing_where_all_is_as_it_should_be(self):
        with CaptureQueriesContext(connection) as queries:
            self.give()
        assert writes(queries.captured_queries) == []

    def test_a_right_of_a_model_that_is_new_goes_to_whom_it_belongs(self):
        kind = Permission.objects.get(codename="view_agent").content_type
        for action in ("view", "add", "change"):
            Permission.objects.create(content_type=kind, codename=f"{action}_robot", name=action)
        self.give()
        found = {role: Group.objects.get(name=role).permissions.filter(codename__endswith="_robot") for role in ROLES}
        words = {role: sorted(p.name for p in permissions) for role, permissions in found.items()}
        assert words == {
            READ_ONLY: ["view"],
            OPERATORS: ["change", "view"],
            ADMINISTRATORS: ["add", "change", "view"],
        }
