"""API clients for each kind of caller, and what every test needs."""

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from clients import authentication, throttling
from tests.factories import ClientFactory, OperatorFactory, token_of

ON_MYSQL = settings.DATABASES["default"]["ENGINE"].endswith("mysql")


def pytest_collection_modifyitems(items):
    if ON_MYSQL:
        return
    for item in items:
        if item.get_closest_marker("mysql"):
            item.add_marker(pytest.mark.skip(reason="needs MySQL or MariaDB (set DB_HOST): locks, races, collations"))


@pytest.fixture(autouse=True)
def _fresh_counters():
    """Tests share a process; callers' counters must not outlive a test."""
    throttling.calls.clear()
    authentication.guesses.clear()


class JsonClient(APIClient):
    """Speaks JSON unless told otherwise, and shows a crash as the 500 a caller would get."""

    default_format = "json"

    def __init__(self, **kwargs):
        super().__init__(raise_request_exception=False, **kwargs)

    def bearer(self, token):
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return self


@pytest.fixture
def anonymous_api():
    return JsonClient()


@pytest.fixture
def tenant(db):
    """The client that `tenant_api` speaks for."""
    return ClientFactory(name="Tenant")


@pytest.fixture
def client_token(tenant):
    return token_of(tenant)


@pytest.fixture
def tenant_api(client_token):
    return JsonClient().bearer(client_token)


@pytest.fixture
def admin_api(db):
    return JsonClient().bearer(settings.ADMIN_TOKEN)


@pytest.fixture
def staff(db):
    return OperatorFactory(username="operator")


@pytest.fixture
def staff_api(staff):
    """A browser with an operator's session, on a page of this server."""
    api = JsonClient()
    api.force_login(staff)
    api.credentials(HTTP_SEC_FETCH_SITE="same-origin")
    return api
