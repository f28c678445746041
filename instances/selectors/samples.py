from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from instances.models import OnDemandPrice, Pool


@dataclass(frozen=True)
class Samples:
    """Latest known prices in USD/hour; what is missing is unknown."""

    spot: dict[str, Decimal]  # by pool id
    ondemand: Decimal | None


def recent_samples(*, pool_ids: Collection[str], instance_type: str, region: str, not_before: datetime) -> Samples:
    """Spot quotes confirmed since `not_before`, and the list price of the type in the region; estimates are none."""
    pools = Pool.objects.filter(pool_id__in=[p for p in pool_ids if p], last_confirmed_at__gte=not_before)
    listed = OnDemandPrice.objects.filter(instance_type=instance_type, region=region, is_estimate=False)
    return Samples(
        spot={p: price for p, price in pools.values_list("pool_id", "price") if price is not None},
        ondemand=listed.values_list("price", flat=True).first(),
    )
