from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from agents.models import Agent
from instances.models import Instance, OnDemandPriceHistory, Pool, SpotPriceHistory
from instances.services import usage
from tests.factories import InstanceFactory, OnDemandPriceFactory, PoolFactory

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False) as travel:
        yield travel


class World:
    """Time in hours after noon; prices that hold, and instances that do as they are told."""

    def __init__(self, travel):
        self.travel = travel

    def at(self, hours):
        return NOON + hours * HOUR

    def go_to(self, hours):
        """Everybody is heard at that moment."""
        self.travel.move_to(self.at(hours))
        Agent.objects.update(last_heartbeat_at=self.at(hours))
        Instance.objects.exclude(last_seen_at=None).update(last_seen_at=self.at(hours))

    def spot(self, az, *rows):
        """`rows` = (hour, price), each in effect until the next."""
        pool = PoolFactory(az=f"us-east-1{az}", ondemand=None, history=False, price=None)
        for hour, price in rows:
            SpotPriceHistory.objects.create(pool=pool, at=self.at(hour), price=price)
        latest, price = rows[-1]
        Pool.objects.filter(pk=pool.pk).update(
            price=price, changed_at=self.at(latest), recorded_at=self.at(latest), last_confirmed_at=self.at(latest + 6)
        )
        return pool

    def ondemand(self, *rows, instance_type="t3.medium"):
        latest, price = rows[-1]
        quote = OnDemandPriceFactory(
            instance_type=instance_type,
            history=False,
            price=price,
            changed_at=self.at(latest),
            recorded_at=self.at(latest),
            last_confirmed_at=self.at(latest + 6),
        )
        for hour, value in rows:
            OnDemandPriceHistory.objects.create(quote=quote, at=self.at(hour), price=value)
        return quote

    def instance(self, status="running_primary", *, since=0, az="a", **fields):
        """In use since then; seen now, unless it is a primary, which is heard through its agent."""
        instance = InstanceFactory(
            status=status, az=f"us-east-1{az}", ledger_from=self.at(since), created_at=self.at(since), **fields
        )
        Agent.objects.filter(pk=instance.agent_id).update(last_heartbeat_at=self.at(since))
        usage.track(instance=instance, at=self.at(since))
        return instance

    def become(self, instance, status, *, at):
        instance.status = status
        instance.save(update_fields=["status"])
        usage.track(instance=instance, at=self.at(at))


@pytest.fixture
def world(db, noon):
    """t3.medium costs 0.0416 on-demand, 0.0132 on spot in zone a and 0.0128 in zone b: known an hour before noon."""
    world = World(noon)
    world.ondemand((-1, "0.0416"))
    world.spot("a", (-1, "0.0132"))
    world.spot("b", (-1, "0.0128"))
    return world
