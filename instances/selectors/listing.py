"""Instances as the dashboard lists them (dashboard-api 2.6), with the price rule of its section 2.2."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from clients.principals import Principal
from instances.errors import InstanceNotFound
from instances.models import Instance, InstanceAlias, OnDemandPrice, Pool
from spotopt.common import clock
from spotopt.common.fields import Mode


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


def as_client_rows(instances: Iterable[Instance]) -> list[dict[str, Any]]:
    """Two statements for the prices, however many rows."""
    rows = list(instances)
    quotes = dict(
        Pool.objects.filter(pool_id__in={i.pool_id for i in rows if i.pool_id}).values_list("pool_id", "price")
    )
    listed = {
        (q.instance_type, q.region): q.price
        for q in OnDemandPrice.objects.filter(instance_type__in={i.instance_type for i in rows})
    }
    return [_row(i, quotes.get(i.pool_id), listed.get((i.instance_type, i.region))) for i in rows]


def price_paid(*, mode: str, quote: Decimal | None, ondemand: Decimal | None) -> Decimal | None:
    """USD per hour by how the instance is bought; None while that, or the price, is unknown."""
    return {Mode.SPOT: quote, Mode.ONDEMAND: ondemand}.get(Mode(mode))


def _row(instance: Instance, quote: Decimal | None, ondemand: Decimal | None) -> dict[str, Any]:
    paid = price_paid(mode=instance.mode, quote=quote, ondemand=ondemand)
    return {
        "id": instance.instance_id,
        "type": instance.instance_type or None,
        "instanceType": instance.instance_type or None,
        "az": instance.az or None,
        "region": instance.region or None,
        "mode": instance.mode,
        "poolId": instance.pool_id or "n/a",
        "spotPrice": _number(paid),
        # The page computes savings from both, so an unknown price paid hides the other (price rule)
        "onDemandPrice": None if paid is None else _number(ondemand),
        "currentPrice": _number(paid),
        "marketSpotPrice": _number(quote),
        "instanceStatus": instance.status,
        "isPrimary": instance.is_primary,
        "isActive": instance.is_active,
        "lastSwitch": clock.isoformat(instance.last_switch_at),
        "agentId": instance.agent.public_id if instance.agent else None,
        "createdAt": clock.isoformat(instance.created_at),
        "terminatedAt": clock.isoformat(instance.terminated_at),
        "launchDurationSeconds": instance.launch_seconds,
    }


def _number(price: Decimal | None) -> float | None:
    return None if price is None else float(price)
