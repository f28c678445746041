"""What the overview shows, of the whole fleet or of one client. Each figure is a bounded or indexed read."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Count, Model, QuerySet

from agents.models import Agent
from clients.models import Client
from instances.models import Instance, InterruptionEpisode, Pool, Switch
from instances.selectors.market import cheapest_first, list_price, quote_of
from instances.selectors.prices import Steps, ondemand_steps, spot_steps
from notifications.models import SystemEvent

SHOWN = 12  # rows of a list
SHOWN_POOLS = 6  # as many as the palette has colours
SHOWN_EVENTS = 20
UNWELL = (Agent.Status.OFFLINE, Agent.Status.ERROR)

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Fleet:
    """Agents without deleted ones, instances of the active set (dashboard-api 1.9)."""

    agents: dict[str, int]  # by status
    instances: dict[str, int]  # by mode
    open_interruptions: int
    switches: dict[str, int]  # of the last day, by trigger

    @property
    def online(self) -> int:
        return self.agents.get(Agent.Status.ONLINE, 0)

    @property
    def agents_total(self) -> int:
        return sum(self.agents.values())

    @property
    def instances_total(self) -> int:
        return sum(self.instances.values())

    @property
    def switches_total(self) -> int:
        return sum(self.switches.values())


@dataclass(frozen=True)
class Quote:
    pool: Pool
    steps: Steps
    price: Any  # Decimal; None: not known now
    savings_percent: float | None


@dataclass(frozen=True)
class Market:
    """The pools of an instance type in a region, cheapest first."""

    instance_type: str
    region: str
    quotes: list[Quote]
    hidden: int  # pools beyond SHOWN_POOLS
    ondemand: Any  # Decimal; None: unknown
    ondemand_steps: Steps


def fleet(*, client: Client | None, at: datetime) -> Fleet:
    open_ones = of(client, InterruptionEpisode.objects.filter(open_for__isnull=False))
    return Fleet(
        agents=_counted(of(client, Agent.objects.living()), "status"),
        instances=_counted(of(client, Instance.objects.active()), "mode"),
        open_interruptions=open_ones.filter(is_drill=False).count(),
        switches=_counted(_switches_since(client, at - timedelta(days=1)), "trigger"),
    )


def open_interruptions(*, client: Client | None) -> list[InterruptionEpisode]:
    """The nearest deadline first; drills too, named so."""
    found = of(client, InterruptionEpisode.objects.filter(open_for__isnull=False))
    newest = list(found.select_related("agent", "client").order_by("-pk")[:SHOWN])
    return sorted(newest, key=lambda e: (e.deadline_at is None, e.deadline_at or e.detected_at))


def unwell_agents(*, client: Client | None) -> list[Agent]:
    """Offline or in error, last heard first: the ones that broke just now."""
    found = of(client, Agent.objects.filter(status__in=UNWELL)).select_related("client")
    return list(found.order_by("-last_heartbeat_at", "-pk")[:SHOWN])


def recent_switches(*, client: Client | None) -> list[Switch]:
    """Not joined: MariaDB would begin with the clients and sort all switches there are."""
    newest = ("-created_at", "-pk") if client else ("-pk",)  # the index each has
    return list(of(client, Switch.objects.prefetch_related("agent", "client")).order_by(*newest)[:SHOWN])


def recent_events(*, client: Client | None) -> list[SystemEvent]:
    return list(of(client, SystemEvent.objects.all()).order_by("-pk")[:SHOWN_EVENTS])


def markets() -> list[tuple[str, str]]:
    """(instance type, region) of all active pools."""
    active = Pool.objects.filter(is_active=True)
    return list(active.values_list("instance_type", "region").distinct().order_by("instance_type", "region"))


def busiest_market(*, client: Client | None) -> tuple[str, str] | None:
    """Where most of the active instances run."""
    active = of(client, Instance.objects.active()).exclude(instance_type="").exclude(region="")
    places = active.order_by().values_list("instance_type", "region").annotate(number=Count("pk"))
    ranked = sorted(places, key=lambda place: (-place[2], place[:2]))
    return ranked[0][:2] if ranked else None


def market(*, instance_type: str, region: str, since: datetime, until: datetime) -> Market:
    active = Pool.objects.filter(instance_type=instance_type, region=region, is_active=True)
    pools = cheapest_first(active, at=until)
    shown = sorted(pools[:SHOWN_POOLS], key=lambda pool: pool.az)  # so that a colour stays with its zone
    spot = spot_steps(pool_ids=[pool.pool_id for pool in shown], since=since, until=until)
    listed = ondemand_steps(types=[instance_type], since=since, until=until)
    ondemand = list_price(instance_type=instance_type, region=region)
    quotes = []
    for pool in shown:
        price = quote_of(pool, at=until)
        percent = float((ondemand - price) / ondemand * 100) if ondemand and price is not None else None
        quotes.append(Quote(pool, spot.get(pool.pool_id, Steps()), price, percent))
    return Market(
        instance_type=instance_type,
        region=region,
        quotes=quotes,
        hidden=len(pools) - len(shown),
        ondemand=ondemand,
        ondemand_steps=listed.get((instance_type, region), Steps()),
    )


def of(client: Client | None, rows: QuerySet[Row]) -> QuerySet[Row]:
    return rows.filter(client=client) if client else rows


def _switches_since(client: Client | None, since: datetime) -> QuerySet[Switch]:
    """Through the index on client and time, also for all clients."""
    whose = [client.pk] if client else list(Client.objects.values_list("pk", flat=True))
    return Switch.objects.filter(client__in=whose, created_at__gte=since)


def _counted(rows: QuerySet[Any], name: str) -> dict[str, int]:
    """Plain, because a template would take the methods of a Counter for missing keys. The most frequent first."""
    return dict(rows.order_by().values_list(name).annotate(number=Count("pk")).order_by("-number", name))
