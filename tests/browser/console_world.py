"""A fleet in trouble, for the console: `python -m tests.browser.console_world`, in a database of its own."""

import json
import math
from datetime import timedelta
from decimal import Decimal

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 (models need the set-up)
from django.contrib.auth.models import Group  # noqa: E402

from agents.models import Agent, Command  # noqa: E402
from analytics.models import ClientDay  # noqa: E402
from clients.roles import ADMINISTRATORS, OPERATORS, READ_ONLY  # noqa: E402
from decisions.models import DecisionRecord, Recommendation  # noqa: E402
from instances.models import Instance, SpotPriceHistory  # noqa: E402
from spotopt.common import clock  # noqa: E402
from spotopt.management.commands.run_jobs import JOBS  # noqa: E402
from spotopt.models import JobRun  # noqa: E402
from tests import factories  # noqa: E402

PASSWORD = "correct horse battery"
PEOPLE = {"olga": OPERATORS, "vera": READ_ONLY, "anna": ADMINISTRATORS}


def build():
    now = clock.now()
    for name, role in PEOPLE.items():
        person = get_user_model().objects.create_user(name, password=PASSWORD, is_staff=True)
        person.groups.add(Group.objects.get(name=role))
    for name in JOBS:
        later = now + timedelta(days=1)  # no job runs here, and the tests take a while
        JobRun.objects.create(name=name, started_at=now, last_success_at=later, seconds=0.1, succeeded=True)
    shop = factories.ClientFactory(name="Web shop")
    prices(now)
    savings(shop, now)
    for name in ("cart", "mail", "images"):
        factories.AgentFactory(client=shop, logical_agent_id=name)
    factories.SystemEventFactory(client=shop, message="cart moved to t3.medium.us-east-1b")
    return interruption(shop, now) | stuck(shop, now)


def prices(now):
    for zone, base in (("a", 132), ("b", 118), ("c", 141)):
        pool = factories.PoolFactory(az=f"us-east-1{zone}", price=Decimal(base) / 10000, history=False)
        for hours in range(24):
            price = Decimal(round(base + 12 * math.sin(hours / 3 + base), 1)) / 10000
            SpotPriceHistory.objects.create(pool=pool, at=now - timedelta(hours=24 - hours), price=price)


def savings(shop, now):
    for days in range(30):
        ClientDay.objects.create(
            client=shop,
            day=now.date() - timedelta(days=days),
            seconds=6 * 86400,
            priced_seconds=6 * 86400,
            baseline_usd=Decimal("6.0") + days % 3,
            paid_usd=Decimal("2.1") + days % 2,
        )


def interruption(shop, now):
    """AWS takes the primary back, its agent is mute, and a standby is ready."""
    search = factories.AgentFactory(
        client=shop,
        logical_agent_id="search",
        status=Agent.Status.OFFLINE,
        last_heartbeat_at=now - timedelta(minutes=4),
        notice_status=Agent.Notice.TERMINATION,
    )
    standby = factories.ReplicaFactory(agent=search)
    factories.InterruptionEpisodeFactory(
        agent=search, detected_at=now - timedelta(seconds=30), deadline_at=now + timedelta(minutes=10)
    )
    return {"search": search.pk, "standby": standby.instance_id}


def stuck(shop, now):
    """A termination that waits for a look, an order that failed, and a move that waits for a person."""
    billing = factories.AgentFactory(client=shop, logical_agent_id="billing", decision_mode="approve")
    held = factories.InstanceFactory(
        agent=billing,
        status=Instance.Status.ZOMBIE,
        termination_hold=True,
        zombie_since=now - timedelta(hours=3),
    )
    api = factories.AgentFactory(client=shop, logical_agent_id="api")
    factories.CommandFactory(
        agent=api,
        status=Command.Status.FAILED,
        target_pool_id="t3.medium.us-east-1c",
        message="InsufficientInstanceCapacity",
        created_at=now - timedelta(minutes=25),
        completed_at=now - timedelta(minutes=20),
    )
    record = DecisionRecord.objects.create(
        client=shop, agent=billing, decision_type="switch_spot", reason="0.0118 USD/h instead of 0.0132"
    )
    Recommendation.objects.create(
        client=shop,
        agent=billing,
        decision_id=record.public_id,
        instance_id=billing.instance_id,
        current_mode="spot",
        current_pool_id="t3.medium.us-east-1a",
        target_mode="spot",
        target_pool_id="t3.medium.us-east-1b",
        expected_savings=Decimal("0.0014"),
        reason=record.reason,
        expires_at=now + timedelta(hours=2),
    )
    return {"held": held.instance_id, "api": api.pk}


if __name__ == "__main__":
    print(json.dumps(build()))  # noqa: T201
