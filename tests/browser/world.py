"""Fills the database of the server under test: `python -m tests.browser.world` prints what the tests need to know."""

import json
from datetime import timedelta
from decimal import Decimal

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 (models need the set-up)

from agents.models import Agent  # noqa: E402
from analytics.models import ClientDay  # noqa: E402
from spotopt.common import clock  # noqa: E402
from spotopt.common.fields import Mode  # noqa: E402
from tests import factories  # noqa: E402

OPERATOR, PASSWORD = "operator", "correct horse battery"


def build():
    get_user_model().objects.create_superuser(OPERATOR, password=PASSWORD)
    shop = factories.ClientFactory(name="Web shop")
    factories.ClientFactory(name="Without agents")
    long_ago = clock.now() - timedelta(hours=5)
    for az, price in (("a", "0.0132"), ("b", "0.0128"), ("c", "0.0141")):
        factories.PoolFactory(az=f"us-east-1{az}", price=Decimal(price), changed_at=long_ago)
    cart = factories.AgentFactory(client=shop, logical_agent_id="cart")
    factories.AgentFactory(client=shop, logical_agent_id="search", current_mode=Mode.ONDEMAND)
    factories.AgentFactory(
        client=shop, logical_agent_id="mail", status=Agent.Status.OFFLINE, last_heartbeat_at=long_ago, primary=False
    )
    factories.ReplicaFactory(agent=cart)
    factories.SwitchFactory(agent=cart)
    factories.SystemEventFactory(client=shop, message="cart moved to spot")
    factories.NotificationFactory(client=shop, message="mail is offline")
    for days in range(40):
        ClientDay.objects.create(
            client=shop,
            day=clock.now().date() - timedelta(days=days),
            seconds=86400,
            priced_seconds=86400,
            baseline_usd=Decimal("2.0") + days % 5,
            paid_usd=Decimal("0.7"),
        )
    return {"client": shop.public_id, "agent": cart.public_id, "instance": cart.instance_id}


if __name__ == "__main__":
    print(json.dumps(build()))  # noqa: T201
