"""Every list costs the same at one row and at thirty, and none counts a table to its end."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import transaction

from clients.roles import OPERATORS, OURS
from spotopt.common.admin import BoundedPaginator, OpsAdmin
from tests.spotopt.console.conftest import REGISTERED, page
from tests.spotopt.test_admin import fill

pytestmark = pytest.mark.django_db

MOST = 6
SESSION_RIGHTS = 2  # what a person's own and the groups' rights cost anybody but a superuser

# What nobody asks about: the memory of machinery, and counters under keyed hashes.
INTERNAL = {
    "analytics.ImportCheckpoint",
    "clients.IdempotencyKey",
    "clients.LoginFailures",
    "decisions.AgentState",
    "decisions.ModelFile",
    "decisions.ShadowStay",
    "instances.InstanceAlias",
    "notifications.AlertCrossing",
    "notifications.StreamProcess",
    "notifications.StreamTicket",
}


def costs(person):
    return {model._meta.label: person.opens(page(model, "changelist")) for model in REGISTERED}


def test_lists_take_six_statements_at_most_however_many_rows_there_are(root):
    with transaction.atomic():
        fill(1)
        one = {label: len(statements) for label, (_, statements) in costs(root).items()}
        transaction.set_rollback(True)
    fill(30)
    thirty = costs(root)
    assert {label: status for label, (status, _) in thirty.items() if status != 200} == {}
    assert {label: len(s) for label, (_, s) in thirty.items() if len(s) > MOST or len(s) != one[label]} == {}


def test_an_operator_pays_for_the_rights_once(person):
    fill(1)
    operator = person(OPERATORS)
    found = {label: (status, len(s)) for label, (status, s) in costs(operator).items()}
    assert {k: v for k, v in found.items() if v[0] == 200 and v[1] > MOST + SESSION_RIGHTS} == {}


def test_no_list_counts_further_than_anybody_turns_pages(root):
    fill(1)
    unbounded = [
        (label, sql)
        for label, (_, statements) in costs(root).items()
        for sql in statements
        if re.search(r"COUNT\(\*\)", sql) and f"LIMIT {BoundedPaginator.LIMIT}" not in sql
    ]
    assert [label for label, _ in unbounded if not label.startswith("auth.")] == []


def test_every_model_is_in_the_console_or_named_as_internal():
    ours = {model._meta.label for label in OURS for model in apps.get_app_config(label).get_models()}
    assert ours - {model._meta.label for model in REGISTERED} - INTERNAL == set()


def test_every_list_can_be_searched_and_is_sorted():
    lists = {m._meta.label: admin.site._registry[m] for m in REGISTERED}
    assert [label for label, one in lists.items() if not one.search_fields] == []
    assert [label for label, one in lists.items() if isinstance(one, OpsAdmin) and not one.ordering] == []
