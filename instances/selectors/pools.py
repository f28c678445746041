"""All pools by region and by instance type (dashboard-api 2.2), with quotes of the last 24 hours."""

from typing import Any

from django.db.models import Avg, Count, Min, Q

from instances.models import Pool
from instances.selectors.prices import PRICE_CARRY
from spotopt.common import clock


def pool_statistics() -> dict[str, Any]:
    """Three statements over the table of pools; what it costs follows the market, not the fleet or its history."""
    counted = Pool.objects.aggregate(total=Count("pk"), active=Count("pk", filter=Q(is_active=True)))
    return {
        "total_pools": counted["total"],
        "active_pools": counted["active"],
        "inactive_pools": counted["total"] - counted["active"],
        "total": counted["total"],
        "active": counted["active"],
        "regions": _by_region(),
        "instance_types": _by_type(),
    }


def _by_region() -> list[dict[str, Any]]:
    active = Pool.objects.filter(is_active=True)
    recent = _recently_quoted()
    found = (
        active.values("region")
        .order_by("region")
        .annotate(pools=Count("pk"), average=Avg("price", filter=recent), cheapest=Min("price", filter=recent))
    )
    rows = [
        {
            "region": row["region"],
            "pools": row["pools"],
            "average_price": _number(row["average"]),
            "cheapest_price": _number(row["cheapest"]),
        }
        for row in found
    ]
    return _cheapest_first(rows, "average_price")


def _by_type() -> list[dict[str, Any]]:
    """A type's on-demand price is the mean over its pools, as its spot price is: regions differ in both."""
    active = Pool.objects.filter(is_active=True)
    found = (
        active.values("instance_type")
        .order_by("instance_type")
        .annotate(
            pools=Count("pk"),
            average=Avg("price", filter=_recently_quoted()),
            listed=Avg("ondemand__price", filter=Q(ondemand__is_estimate=False)),
        )
    )
    rows = [
        {
            "instance_type": row["instance_type"],
            "pools_available": row["pools"],
            "avg_spot_price": _number(row["average"]),
            "ondemand_price": _number(row["listed"]),
        }
        for row in found
    ]
    return _cheapest_first(rows, "avg_spot_price")


def _recently_quoted() -> Q:
    return Q(last_confirmed_at__gte=clock.now() - PRICE_CARRY)


def _cheapest_first(rows: list[dict[str, Any]], price: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: float("inf") if row[price] is None else row[price])


def _number(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)
