"""What each call of the dashboard asks the database, with one agent and with a thousand.

The calls are those of `bench_dashboard`, the rows those of `load_history`, which has the speed of the same.
"""

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from agents.models import Agent
from clients.models import Client
from instances.models import Instance, SpotPriceHistory
from notifications.models import Notification, SystemEvent
from spotopt.benchmarks.history import HistoryLoader, Sizes
from spotopt.management.commands.bench_dashboard import CALLS

pytestmark = pytest.mark.django_db

MANY = 1000
BUDGET = 12


def first_agent():
    return Agent.objects.filter(status=Agent.Status.ONLINE, instance_type__startswith="m5").earliest("pk")


@pytest.fixture
def client():
    """Of all rows, on the way to the last one."""
    sizes = Sizes(clients=1, agents=MANY, price_points=20_000, events=MANY, switches=MANY, ledger_hours=3, days=30)
    HistoryLoader(sizes=sizes, seed=1, progress=lambda *said: None).load()
    return Client.objects.get()


@pytest.fixture
def statements(client):
    browser = Browser(headers={"Authorization": f"Bearer {settings.ADMIN_TOKEN}"})
    instance_id = first_agent().instance_id

    def count(call):
        with CaptureQueriesContext(connection) as captured:
            response = browser.get(call.format(client_id=client.public_id, instance_id=instance_id))
        assert response.status_code == 200, response.content
        return len(captured)

    return count


def keep_one_row_of_each():
    first = first_agent()
    Instance.objects.exclude(instance_id=first.instance_id).delete()
    Agent.objects.exclude(pk=first.pk).delete()
    for model in (SystemEvent, Notification, SpotPriceHistory):
        model.objects.exclude(pk=model.objects.latest("pk").pk).delete()


def test_a_call_asks_no_more_of_a_thousand_rows_than_of_one(statements):
    with_many = {call: statements(call) for call in CALLS}
    keep_one_row_of_each()
    with_one = {call: statements(call) for call in CALLS}
    # What does not fit on a page is counted, which is a statement of its own.
    assert {call: number for call, number in with_many.items() if number > with_one[call] + 1} == {}
    assert {call: number for call, number in with_many.items() if number > BUDGET} == {}
