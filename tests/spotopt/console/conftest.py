"""People of each role, and what they press."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clients.roles import ROLES
from tests.factories import OperatorFactory

REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)


def page(model, name, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


class Person:
    """Somebody of a role at a browser; without a role a superuser."""

    def __init__(self, role=None):
        self.user = OperatorFactory(is_superuser=role is None)
        if role:
            self.user.groups.add(Group.objects.get(name=role))
        self.browser = Browser()
        self.browser.force_login(self.user)

    def press(self, model, action, *rows, **body):
        data = {"action": action, "_selected_action": [row.pk for row in rows]} | body
        return self.browser.post(page(model, "changelist"), data, follow=True)

    def told(self, model, action, *rows, **body):
        answer = self.press(model, action, *rows, **({"confirmed": "yes"} | body))
        return [str(message) for message in answer.context["messages"]]

    def opens(self, address, **query):
        """(status code, statements) of a page."""
        with CaptureQueriesContext(connection) as queries:
            answer = self.browser.get(address, query)
        return answer.status_code, [query["sql"] for query in queries]

    def offered(self, model):
        """The actions in the model's list, by name."""
        request = type("Request", (), {"user": self.user, "GET": {}})()
        return set(admin.site._registry[model].get_actions(request))


@pytest.fixture
def person(db):
    return Person


@pytest.fixture
def root(db):
    return Person()


@pytest.fixture(params=ROLES)
def somebody(request, db):
    """(role, person)"""
    return request.param, Person(request.param)
