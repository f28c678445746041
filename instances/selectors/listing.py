"""Instances as the dashboard lists them (dashboard-api 2.2, 2.6), with the price rule of its section 2.2."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from django.db.models import Prefetch, QuerySet

from clients.models import Client
from clients.principals import Principal
from instances.errors import InstanceNotFound
from instances.models import Instance, InstanceAlias, OnDemandPrice, Pool
from instances.selectors.market import place_of, price_paid
from spotopt.common import clock

_COLUMNS = (
    "client_id", "instance_id", "status", "mode", "instance_type", "region", "az", "pool_id", "launch_requested_at",
    "launch_confirmed_at", "last_switch_at", "terminated_at", "created_at",
    "agent__public_id", "agent__logical_agent_id", "agent__status", "agent__region",
)  # fmt: skip


@dataclass(frozen=True)
class Prices:
    """USD per hour; None is unknown."""

    paid: float | None
    quote: float | None  # of its pool, whatever it pays
    ondemand: float | None

    @classmethod
    def of(cls, instance: Instance, *, quote: Decimal | None, ondemand: Decimal | None) -> Self:
        paid = price_paid(mode=instance.mode, quote=quote, ondemand=ondemand)
        return cls(_number(paid), _number(quote), _number(ondemand))


def find_instance(*, who: Principal, instance_id: str) -> Instance:
    """By EC2 id, or by the temporary id it was launched under. Raises InstanceNotFound, also for another tenant's."""
    instances = Instance.objects.for_principal(who).select_related("agent", "client").order_by("-created_at", "-id")
    if found := instances.filter(instance_id=instance_id).first():
        return found
    known = InstanceAlias.objects.filter(alias=instance_id).values("instance")
    found = instances.filter(pk__in=known).first()
    if found is None:
        raise InstanceNotFound
    return found


def as_client_rows(instances: QuerySet[Instance]) -> list[dict[str, Any]]:
    """A page of one client's instances (dashboard-api 2.6)."""
    return [_client_row(*priced) for priced in _with_prices(instances.select_related("agent").only(*_COLUMNS))]


def as_admin_rows(instances: QuerySet[Instance]) -> list[dict[str, Any]]:
    """A page of all clients' instances (dashboard-api 2.2). Names differ where the contract's do.

    Clients in a statement of their own: joined, MariaDB would begin with them and sort all instances for a page.
    """
    clients = Prefetch("client", Client.objects.only("public_id", "name"))
    page = instances.select_related("agent").prefetch_related(clients).only(*_COLUMNS)
    return [_admin_row(*priced) for priced in _with_prices(page)]


def count_up_to(instances: QuerySet[Instance], most: int) -> int:
    """How many there are; it stops counting at `most`."""
    return instances.order_by()[:most].count()


def _with_prices(instances: QuerySet[Instance]) -> list[tuple[Instance, Prices]]:
    """Three statements, however many rows. What agents made up is no list price (agent-api 3.10)."""
    rows = list(instances)
    quotes = dict(
        Pool.objects.filter(pool_id__in={i.pool_id for i in rows if i.pool_id}).values_list("pool_id", "price")
    )
    listed = {
        (instance_type, region): price
        for instance_type, region, price in OnDemandPrice.objects.filter(
            instance_type__in={i.instance_type for i in rows}, is_estimate=False
        ).values_list("instance_type", "region", "price")
    }
    return [(i, Prices.of(i, quote=quotes.get(i.pool_id), ondemand=listed.get(place_of(i)))) for i in rows]


def _client_row(instance: Instance, prices: Prices) -> dict[str, Any]:
    return {
        "id": instance.instance_id,
        "type": instance.instance_type or None,
        "instanceType": instance.instance_type or None,
        "az": instance.az or None,
        "region": instance.region or None,
        "mode": instance.mode,
        "poolId": instance.pool_id or "n/a",
        "spotPrice": prices.paid,
        # The page computes savings from both, so an unknown price paid hides the other (price rule)
        "onDemandPrice": None if prices.paid is None else prices.ondemand,
        "currentPrice": prices.paid,
        "marketSpotPrice": prices.quote,
        "instanceStatus": instance.status,
        "isPrimary": instance.is_primary,
        "isActive": instance.is_active,
        "lastSwitch": clock.isoformat(instance.last_switch_at),
        "agentId": instance.agent.public_id if instance.agent else None,
        "createdAt": clock.isoformat(instance.created_at),
        "terminatedAt": clock.isoformat(instance.terminated_at),
        "launchDurationSeconds": instance.launch_seconds,
    }


def _admin_row(instance: Instance, prices: Prices) -> dict[str, Any]:
    agent = instance.agent
    return {
        "id": instance.instance_id,
        "instanceId": instance.instance_id,
        "clientId": instance.client.public_id,
        "clientName": instance.client.name,
        "instanceType": instance.instance_type or None,
        "region": instance.region or None,
        "az": instance.az or None,
        "currentMode": instance.mode,
        "currentPoolId": instance.pool_id or None,
        "spotPrice": prices.paid,
        "ondemandPrice": prices.ondemand,
        "onDemandPrice": prices.ondemand,
        "currentPrice": prices.paid,
        "marketSpotPrice": prices.quote,
        "instanceStatus": instance.status,
        "isPrimary": instance.is_primary,
        "isActive": instance.is_active,
        "agentId": agent.public_id if agent else None,
        "logicalAgentId": agent.logical_agent_id if agent else None,
        "agentStatus": agent.status if agent else None,
        "installedAt": clock.isoformat(instance.launch_confirmed_at),
        "createdAt": clock.isoformat(instance.created_at),
    }


def _number(price: Decimal | None) -> float | None:
    return None if price is None else float(price)
