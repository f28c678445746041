"""Tenants in the states that blank a careless dashboard (dashboard-api 4.3): empty, without prices, full."""

from datetime import timedelta
from decimal import Decimal

from analytics.models import UsageLedger
from spotopt.common import clock
from tests.factories import (
    AgentFactory,
    InstanceFactory,
    InterruptionEpisodeFactory,
    NotificationFactory,
    OnDemandPriceFactory,
    PoolFactory,
    ReplicaFactory,
    SwitchFactory,
    SystemEventFactory,
    UsageIntervalFactory,
)

NOBODY = {"agent_id": "no-agent", "instance_id": "i-0none", "replica_id": "no-replica", "notification_id": "none"}


def empty(client):
    """No agent ever registered."""
    return NOBODY | {"client_id": client.public_id, "pool_id": "t3.medium.us-east-1b"}


def unpriced(client):
    """Agent, instance and standby are there; no price was ever reported."""
    agent = AgentFactory(client=client, hostname="web-1", last_heartbeat_at=clock.now())
    return _ids(client, agent)


def full(client):
    OnDemandPriceFactory(instance_type="t3.medium", region="us-east-1", price=Decimal("0.0416"))
    for zone, price in (("a", "0.0132"), ("b", "0.0128"), ("c", None)):
        PoolFactory(pool_id=f"t3.medium.us-east-1{zone}", price=price and Decimal(price))
    # v5 takes every order, launches included
    agent = AgentFactory(client=client, hostname="web-1", last_heartbeat_at=clock.now(), protocol="v5")
    ids = _ids(client, agent)
    zombie = InstanceFactory(agent=agent, client=client, status="zombie")
    SwitchFactory(agent=agent, old_instance_id=zombie.instance_id, ondemand_price=Decimal("0.0416"))
    primary = agent.instances.get(instance_id=agent.instance_id)
    UsageIntervalFactory(instance=primary)
    UsageLedger.objects.create(
        client=client,
        agent=agent,
        instance=primary,
        hour=clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2),
        role="primary",
        mode="spot",
        pool_id=primary.pool_id,
        seconds=3600,
        priced_seconds=3600,
        paid_usd=Decimal("0.0132"),
        baseline_usd=Decimal("0.0416"),
    )
    InterruptionEpisodeFactory(agent=agent, instance_id=zombie.instance_id)
    SystemEventFactory(client=client, agent_id=agent.public_id, instance_id=agent.instance_id)
    return ids


def _ids(client, agent):
    replica = ReplicaFactory(agent=agent)
    return {
        "client_id": client.public_id,
        "agent_id": agent.public_id,
        "instance_id": agent.instance_id,
        "replica_id": replica.public_id,
        "pool_id": "t3.medium.us-east-1b",
        "notification_id": NotificationFactory(client=client).public_id,
    }
