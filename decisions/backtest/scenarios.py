"""Which workloads a set of price files holds, and the market of each."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from decisions.backtest.files import Advice, Advisor, Series, nearest_advice
from decisions.backtest.market import Market, PoolSeries
from decisions.engine import published_reclaims_per_hour

SAME_TYPE, ANY_LARGER = "same-type", "any-larger"
SCOPES = (SAME_TYPE, ANY_LARGER)
LAST_YEAR_OF_BIDDING = 2017  # AWS smoothed its prices in November 2017; before, they moved by the minute
BIDDING_SLOT, SLOT = timedelta(minutes=10), timedelta(hours=1)
FEWEST_POOLS = 2
WORST_BUCKET = 4

OnDemand = Mapping[tuple[str, str], float]


class PriceSource:
    """The pools of one file, or of the recorded history, region by region."""

    def __init__(self, series: Sequence[Series], *, ondemand: OnDemand, advisor: Advisor) -> None:
        by_region: dict[str, list[Series]] = defaultdict(list)
        for one in series:
            by_region[one.region].append(one)
        self.regions = {
            region: _Region(region, pools, ondemand=ondemand, advisor=advisor)
            for region, pools in sorted(by_region.items())
        }

    def workloads(self, scope: str) -> list[tuple[str, str]]:
        """(region, type) of all with a list price, and at least two pools that cost less at some time."""
        return [(name, kind) for name, region in self.regions.items() for kind in region.workloads(scope)]

    def markets(self, workloads: Sequence[tuple[str, str]], scope: str) -> Iterator[Market]:
        for region, instance_type in workloads:
            yield self.regions[region].market(instance_type, scope)


@dataclass
class _Region:
    name: str
    pools: Sequence[Series]
    ondemand: OnDemand
    advisor: Advisor

    def __post_init__(self) -> None:
        first, last = min(one.times[0] for one in self.pools), max(one.times[-1] for one in self.pools)
        start = first // 3600 * 3600 + 3600
        self.start = datetime.fromtimestamp(start, UTC)
        self.is_bidding = self.start.year <= LAST_YEAR_OF_BIDDING
        self.slot = BIDDING_SLOT if self.is_bidding else SLOT
        self.slots = max(int((last - start) // self.slot.total_seconds()), 0)
        self.sampled: dict[tuple[str, str], list[float | None]] = {}

    @cached_property
    def advice(self) -> dict[str, Advice | None]:
        types = {one.instance_type for one in self.pools}
        return {kind: nearest_advice(self.advisor, self.name, kind, self.start) for kind in types}

    @cached_property
    def is_rated(self) -> bool:
        """AWS published no advice in the years of bidding; then the prices themselves tell of losses."""
        return not self.is_bidding and any(self.advice.values())

    def workloads(self, scope: str) -> list[str]:
        if not self.slots:
            return []
        types = sorted({one.instance_type for one in self.pools})
        return [kind for kind in types if len(self.members(kind, scope)) >= FEWEST_POOLS]

    def members(self, instance_type: str, scope: str) -> list[Series]:
        """Pools the workload fits in, without those that never cost less than its own on-demand price."""
        most = self.ondemand.get((self.name, instance_type))
        if most is None:
            return []
        return [one for one in self.pools if one.lowest < most and self._fits(instance_type, one.instance_type, scope)]

    def _fits(self, wanted: str, offered: str, scope: str) -> bool:
        """`any-larger` takes types with at least the vCPUs and the memory, of the same processor architecture."""
        if wanted == offered:
            return True
        need, have = self.advice[wanted], self.advice[offered]
        if scope == SAME_TYPE or need is None or have is None:
            return False
        is_larger = have.vcpu >= need.vcpu > 0 and have.ram_gb >= need.ram_gb > 0
        return is_larger and _is_arm(wanted) == _is_arm(offered)

    def market(self, instance_type: str, scope: str) -> Market:
        most = self.ondemand[self.name, instance_type]
        return Market(
            name=f"{self.name} {instance_type} {scope}",
            start=self.start,
            slot=self.slot,
            ondemand_price=most,
            pools=tuple(self._pool(one, most) for one in self.members(instance_type, scope)),
            prices_show_losses=self.is_bidding,
        )

    def _pool(self, one: Series, most: float) -> PoolSeries:
        """Capacity goes to who bids enough, and the bid is the on-demand price: open while it costs no more."""
        key = (one.az, one.instance_type)
        if key not in self.sampled:
            self.sampled[key] = one.sampled(self.start.timestamp(), self.slot.total_seconds(), self.slots)
        prices = self.sampled[key]
        advice = self.advice[one.instance_type]
        # In a region that AWS rates, a type that it leaves out is taken for one of the worst.
        bucket = (advice.bucket if advice else WORST_BUCKET) if self.is_rated else None
        return PoolSeries(
            pool_id=f"{one.instance_type}.{one.az}",
            region=one.region,
            bucket=bucket,
            prices=prices,
            is_open=[price is not None and price <= most for price in prices],
            reclaims_per_hour=0.0 if bucket is None else published_reclaims_per_hour(bucket),
        )


def _is_arm(instance_type: str) -> bool:
    """Graviton: a1, and families with a g after the generation (m6g, c6gn, im4gn)."""
    family = instance_type.partition(".")[0]
    return family == "a1" or "g" in family.lstrip("abcdefghijklmnopqrstuvwxyz")
