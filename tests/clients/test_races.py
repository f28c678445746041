import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import connection

from clients.models import Client
from notifications.models import Notification
from tests.conftest import JsonClient

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]

CALLERS = 6


def create_at_once(bodies):
    barrier = threading.Barrier(len(bodies))

    def create(body):
        api = JsonClient().bearer(settings.ADMIN_TOKEN)
        barrier.wait()
        try:
            return api.post("/api/admin/clients/create", body).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(bodies)) as threads:
        return sorted(threads.map(create, bodies))


@pytest.mark.parametrize("names", [["Web"] * CALLERS, ["Web", "WEB"] * (CALLERS // 2)])
def test_one_of_several_with_the_same_name_wins_and_the_others_hear_409(names):
    assert create_at_once([{"name": name} for name in names]) == [200] + [409] * (CALLERS - 1)
    assert Client.objects.count() == Notification.objects.count() == 1


def test_one_of_several_with_the_same_address_wins():
    bodies = [{"name": f"Web {n}", "email": "web@example.com"} for n in range(CALLERS)]
    assert create_at_once(bodies) == [200] + [409] * (CALLERS - 1)
