"""The market around one instance: its pools, what they and on-demand cost now (dashboard-api 2.6).

A quote older than PRICE_CARRY is unknown here as it is in the ledger; on-demand figures that agents made up
(agent-api 3.10) are no prices.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q

from instances.models import Instance, OnDemandPrice, Pool
from instances.selectors.prices import PRICE_CARRY
from spotopt.common import clock
from spotopt.common.fields import Mode, split_pool_id

STALE_AFTER = timedelta(hours=1)


def place_of(instance: Instance) -> tuple[str, str]:
    """Instance type and region, which prices depend on; empty where unknown."""
    return instance.instance_type, instance.region or (instance.agent.region if instance.agent else "")


def quote_of(pool: Pool, *, at: datetime) -> Decimal | None:
    """USD per hour as last seen, unless that is too long ago."""
    is_recent = pool.last_confirmed_at is not None and at - pool.last_confirmed_at <= PRICE_CARRY
    return pool.price if is_recent else None


def list_quote(*, instance_type: str, region: str) -> OnDemandPrice | None:
    """The on-demand price, unless it is made up."""
    return OnDemandPrice.objects.filter(instance_type=instance_type, region=region, is_estimate=False).first()


def list_price(*, instance_type: str, region: str) -> Decimal | None:
    """The same in USD per hour."""
    quote = list_quote(instance_type=instance_type, region=region)
    return quote.price if quote else None


def pools_around(instance: Instance, *, at: datetime) -> list[Pool]:
    """Active pools of its type and region, and its own pool in whatever state; cheapest first, without a quote last."""
    instance_type, region = place_of(instance)
    own = Q(pool_id=instance.pool_id) if instance.pool_id else Q(pk__in=[])
    pools = list(Pool.objects.filter(Q(instance_type=instance_type, region=region, is_active=True) | own))
    if instance.pool_id and all(pool.pool_id != instance.pool_id for pool in pools):
        pools.append(_never_reported(instance.pool_id))
    return cheapest_first(pools, at=at)


def cheapest_first(pools: Iterable[Pool], *, at: datetime) -> list[Pool]:
    def rank(pool: Pool) -> tuple[Decimal, str]:
        quote = quote_of(pool, at=at)
        return Decimal("Infinity") if quote is None else quote, pool.pool_id

    return sorted(pools, key=rank)


def own_pool(instance: Instance, pools: Iterable[Pool]) -> Pool | None:
    """None on on-demand, and while the pool is unknown."""
    return next((pool for pool in pools if instance.pool_id and pool.pool_id == instance.pool_id), None)


def price_paid(*, mode: str, quote: Decimal | None, ondemand: Decimal | None) -> Decimal | None:
    """USD per hour by how an instance is bought; None while that, or the price, is unknown."""
    return {Mode.SPOT: quote, Mode.ONDEMAND: ondemand}.get(Mode(mode))


def price_paid_now(instance: Instance, *, pool: Pool | None, ondemand: Decimal | None, at: datetime) -> Decimal | None:
    """USD per hour by how the instance is bought; `pool` is its own. None while that, or the price, is unknown."""
    return price_paid(mode=instance.mode, quote=quote_of(pool, at=at) if pool else None, ondemand=ondemand)


def pool_row(pool: Pool) -> dict[str, Any]:
    return {"id": pool.pool_id, "name": pool.display_name, "az": pool.az}


def pricing_of(instance: Instance) -> dict[str, Any]:
    """What it could run on, and for how much. Numbers are never null: the page takes their absence for a crash."""
    now = clock.now()
    instance_type, region = place_of(instance)
    ondemand = list_price(instance_type=instance_type, region=region)
    pools = pools_around(instance, at=now)
    current = own_pool(instance, pools)
    priced, unpriced = [], []
    for pool in pools:
        quote = quote_of(pool, at=now)
        if quote is None:
            unpriced.append(pool_row(pool))
        else:
            priced.append(_priced_row(pool, quote, ondemand, now))
    return {
        "currentMode": instance.mode,
        "currentPool": pool_row(current) if current else None,
        "onDemand": {"name": "On-Demand", "price": float(ondemand or 0), "known": ondemand is not None},
        "pools": priced,
        "unpricedPools": unpriced,
    }


def options_of(instance: Instance) -> dict[str, Any]:
    """Pools of its type, and the types of its family that have a pool in its region."""
    now = clock.now()
    instance_type, region = place_of(instance)
    family = f"{instance_type.partition('.')[0]}."
    offered = Pool.objects.filter(region=region, is_active=True, instance_type__startswith=family)
    pools = [_option_row(p, now) for p in cheapest_first(offered, at=now) if p.instance_type == instance_type]
    types = sorted({pool.instance_type for pool in offered})
    return {
        "currentType": instance_type or None,
        "currentRegion": region or None,
        "currentAz": instance.az or None,
        "currentPool": instance.pool_id or None,
        "availablePools": pools,
        "availableTypes": types,
        "pools": pools,  # as the deployed page calls them
        "instanceTypes": types,
    }


def _priced_row(pool: Pool, quote: Decimal, ondemand: Decimal | None, now: datetime) -> dict[str, Any]:
    seen_at = pool.last_confirmed_at
    return pool_row(pool) | {
        "price": float(quote),
        "savings": round(float((ondemand - quote) / ondemand * 100), 2) if ondemand else 0.0,
        "capturedAt": clock.isoformat(seen_at),
        "stale": seen_at is None or now - seen_at > STALE_AFTER,
    }


def _option_row(pool: Pool, now: datetime) -> dict[str, Any]:
    quote = quote_of(pool, at=now)
    row = {"id": pool.pool_id, "az": pool.az, "instanceType": pool.instance_type}
    return row | {"price": None if quote is None else float(quote)}


def _never_reported(pool_id: str) -> Pool:
    """Stands in for a pool that an instance runs in and no price report ever named."""
    instance_type, az = split_pool_id(pool_id)
    return Pool(pool_id=pool_id, instance_type=instance_type, az=az)
