"""Months of a large fleet's history, written straight into the tables, so that benchmarks have something to search.

Made from a seed, not from any real fleet: only sizes and shapes matter. Rows obey the models' constraints, prices are
change points, and the ledger is summed up by the same service as in production.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import models, transaction

from agents.models import Agent, PricingReport
from analytics.models import UsageLedger
from analytics.services import client_days, switch_tallies
from clients.models import Client
from clients.services import create_client
from instances.models import (
    Instance,
    OnDemandPrice,
    OnDemandPriceHistory,
    Pool,
    SpotPriceHistory,
    Switch,
    UsageInterval,
)
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from spotopt.common.fields import Mode, pool_id_of

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2", "us-west-2", "eu-central-1")
FAMILIES = ("m5", "c5", "r5", "m6i", "c6i")
SIZES = {"large": "0.096", "xlarge": "0.192"}
ZONES = "abcdef"
BATCH = 2000
EVENT_TYPES = ("agent_registered", "switch_completed", "agent_marked_offline", "instance_launch_confirmed")

Progress = Callable[[str, int, bool], None]  # (what, how many so far, whether these are all)


@dataclass(frozen=True)
class Sizes:
    clients: int
    agents: int
    price_points: int
    events: int
    switches: int
    ledger_hours: int  # per agent
    days: int


class HistoryLoader:
    def __init__(self, *, sizes: Sizes, seed: int, progress: Progress) -> None:
        self.sizes = sizes
        self.progress = progress
        self.now = clock.now().replace(microsecond=0)
        self.start = self.now - timedelta(days=sizes.days)
        self._rng = random.Random(seed)  # noqa: S311 (made-up data)

    def load(self) -> None:
        clients = [create_client(name=f"History {n}", actor="load_history")[0] for n in range(self.sizes.clients)]
        pools = self._pools()
        self._save("price points", SpotPriceHistory, self._price_points(pools))
        agents = self._save("agents", Agent, self._agents(clients, pools))
        by_pool = {pool.pool_id: pool for pool in pools}
        instances = self._save("instances", Instance, self._instances(agents))
        self._save("usage intervals", UsageInterval, self._usage(instances))
        self._save("price reports", PricingReport, self._reports(agents, by_pool))
        self._save("ledger rows", UsageLedger, self._ledger(instances, by_pool))
        self._save("switches", Switch, self._switches(agents, by_pool))
        client_days.rebuild(clients=clients)
        switch_tallies.rebuild(clients=clients)
        self._save("events", SystemEvent, self._events(agents), keep=False)
        self._save("notifications", Notification, self._notifications(agents), keep=False)

    def _save(self, what: str, model: type[models.Model], rows: Iterable[Any], *, keep: bool = True) -> list[Any]:
        """A transaction per batch: one of millions of rows would fill the undo log."""
        saved: list[Any] = []
        count = 0
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            with transaction.atomic():
                made = model._default_manager.bulk_create(batch)
            count += len(batch)
            if keep:
                saved += made
            self.progress(what, count, False)
        self.progress(what, count, True)
        return saved

    # --- Market ----------------------------------------------------------------------------------------------------

    def _pools(self) -> list[Pool]:
        pools: list[Pool] = []
        for region in REGIONS:
            for family in FAMILIES:
                for size, price in SIZES.items():
                    pools += self._pools_of(f"{family}.{size}", region, Decimal(price))
        return self._save("pools", Pool, pools)

    def _pools_of(self, instance_type: str, region: str, price: Decimal) -> Iterator[Pool]:
        at = {"changed_at": self.start, "last_confirmed_at": self.now, "recorded_at": self.start}
        quote = OnDemandPrice.objects.create(instance_type=instance_type, region=region, price=price, **at)
        OnDemandPriceHistory.objects.create(quote=quote, at=self.start, price=price)
        for zone in ZONES:
            az = f"{region}{zone}"
            pool_id = pool_id_of(instance_type, az)
            yield Pool(
                pool_id=pool_id,
                instance_type=instance_type,
                region=region,
                az=az,
                ondemand=quote,
                price=self._near(price * Decimal("0.4")),
                **at | {"changed_at": self.now, "recorded_at": self.now},
            )

    def _price_points(self, pools: list[Pool]) -> Iterator[SpotPriceHistory]:
        each = max(2, self.sizes.price_points // len(pools))
        step = (self.now - self.start) / each
        for pool in pools:
            price = pool.price or Decimal(1)
            for number in range(each):
                yield SpotPriceHistory(pool=pool, at=self.start + number * step, price=self._near(price))
            yield SpotPriceHistory(pool=pool, at=self.now, price=price)

    def _near(self, price: Decimal) -> Decimal:
        return (price * Decimal(self._rng.randint(900, 1100)) / 1000).quantize(Decimal("0.000001"))

    # --- Fleet -----------------------------------------------------------------------------------------------------

    def _agents(self, clients: list[Client], pools: list[Pool]) -> Iterator[Agent]:
        """The first client owns half of them."""
        for number in range(self.sizes.agents):
            pool = self._rng.choice(pools)
            yield Agent(
                client=clients[0] if number % 2 else clients[number % len(clients)],
                logical_agent_id=f"history-{number}",
                status=Agent.Status.ONLINE if number % 20 else Agent.Status.OFFLINE,
                last_heartbeat_at=self.now - timedelta(seconds=self._rng.randrange(60)),
                instance_id=f"i-{number + 16**8:017x}",
                instance_type=pool.instance_type,
                region=pool.region,
                az=pool.az,
                current_mode=Mode.SPOT,
                current_pool_id=pool.pool_id,
                hostname=f"host-{number}",
                agent_version="4.0.0",
            )

    def _instances(self, agents: list[Agent]) -> Iterator[Instance]:
        """Each agent's primary; one in five has a zombie besides."""
        for agent in agents:
            known = {"client": agent.client, "agent": agent, "mode": Mode.SPOT, "instance_type": agent.instance_type}
            known |= {"region": agent.region, "az": agent.az, "pool_id": agent.current_pool_id}
            yield Instance(**known, instance_id=agent.instance_id, status="running_primary", ledger_from=self.now)
            if agent.pk % 5 == 0:
                gone = f"i-{agent.pk + 16**12:017x}"
                yield Instance(**known, instance_id=gone, status="terminated", terminated_at=self.now, ledger_from=None)

    def _usage(self, instances: list[Instance]) -> Iterator[UsageInterval]:
        for instance in instances:
            if instance.is_primary:
                yield UsageInterval(
                    instance=instance,
                    role=UsageInterval.Role.PRIMARY,
                    mode=Mode.SPOT,
                    pool_id=instance.pool_id,
                    started_at=self.now.replace(minute=0, second=0),
                )

    def _reports(self, agents: list[Agent], pools: dict[str, Pool]) -> Iterator[PricingReport]:
        for agent in agents:
            pool = pools[agent.current_pool_id]
            for slot in range(PricingReport.SLOTS):
                yield PricingReport(
                    agent=agent,
                    slot=slot,
                    received_at=self.now - timedelta(minutes=5 * slot),
                    instance_id=agent.instance_id,
                    ondemand_price=_listed(pool),
                    spot_price=pool.price,
                    pools=len(ZONES),
                )

    def _ledger(self, instances: list[Instance], pools: dict[str, Pool]) -> Iterator[UsageLedger]:
        latest = self.now.replace(minute=0, second=0)
        for instance in instances:
            if not instance.is_primary:
                continue
            pool = pools[instance.pool_id]
            paid, baseline = pool.price or Decimal(0), _listed(pool) or Decimal(0)
            for number in range(1, self.sizes.ledger_hours + 1):
                yield UsageLedger(
                    client_id=instance.client_id,
                    agent_id=instance.agent_id,
                    instance=instance,
                    hour=latest - timedelta(hours=number),
                    role=UsageInterval.Role.PRIMARY,
                    mode=Mode.SPOT,
                    pool_id=instance.pool_id,
                    seconds=3600,
                    priced_seconds=3600,
                    paid_usd=paid,
                    baseline_usd=baseline,
                )

    # --- What happened ---------------------------------------------------------------------------------------------

    def _moments(self, number: int) -> Iterator[datetime]:
        """Oldest first, as ids grow with time."""
        for index in range(number):
            yield self.start + (self.now - self.start) * index / number

    def _switches(self, agents: list[Agent], pools: dict[str, Pool]) -> Iterator[Switch]:
        for number, at in enumerate(self._moments(self.sizes.switches)):
            agent = self._rng.choice(agents)
            pool = pools[agent.current_pool_id]
            yield Switch(
                client_id=agent.client_id,
                agent=agent,
                source=Switch.Source.REPORTED,
                trigger=self._rng.choice(Switch.Trigger.values),
                old_instance_id=f"i-{number + 16**14:017x}",
                new_instance_id=agent.instance_id,
                old_mode=Mode.ONDEMAND,
                new_mode=Mode.SPOT,
                new_pool_id=pool.pool_id,
                ondemand_price=_listed(pool),
                new_spot_price=pool.price,
                downtime_seconds=self._rng.randrange(90),
                initiated_at=at,
                created_at=at,
            )

    def _events(self, agents: list[Agent]) -> Iterator[SystemEvent]:
        for at in self._moments(self.sizes.events):
            agent = self._rng.choice(agents)
            yield SystemEvent(
                client_id=agent.client_id,
                event_type=self._rng.choice(EVENT_TYPES),
                agent_id=agent.public_id,
                instance_id=agent.instance_id,
                message="Something that happened",
                created_at=at,
            )

    def _notifications(self, agents: list[Agent]) -> Iterator[Notification]:
        for at in self._moments(self.sizes.events // 10):
            agent = self._rng.choice(agents)
            yield Notification(
                client_id=agent.client_id,
                notification_type="switch_completed",
                message="A switch was finished",
                agent_id=agent.public_id,
                created_at=at,
            )


def _listed(pool: Pool) -> Decimal | None:
    return pool.ondemand.price if pool.ondemand else None
