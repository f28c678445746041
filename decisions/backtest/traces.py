"""Markets made of availability traces, where capacity comes and goes whatever it costs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import gcd
from statistics import median

from decisions.backtest.files import Series, Trace
from decisions.backtest.market import Market, PoolSeries
from decisions.backtest.scenarios import FEWEST_POOLS, OnDemand

# The instance types behind the names that the SkyPilot traces use.
TYPES = {
    "v100_1": "p3.2xlarge",
    "v100_8": "p3.16xlarge",
    "k80_1": "p2.xlarge",
    "k80_8": "p2.8xlarge",
    "intel_64": "r5.16xlarge",
}
HOME_REGION = "us-east-1"  # its list price stands in for regions that the file leaves out; in the USA they are the same


def availability_markets(
    traces: Sequence[Trace], *, ondemand: OnDemand, series: Sequence[Series], spot_ratio: float
) -> Iterator[Market]:
    """A market for each (trace, region, type) with at least two zones; a slot is a step of the trace.

    A spot price the trace does not hold is the median in the price files of that type and region, and without such a
    file `spot_ratio` times on-demand.
    """
    grouped: dict[tuple[str, str, str], list[Trace]] = defaultdict(list)
    for trace in traces:
        grouped[trace.name, trace.zone.rstrip("abcdefghijk"), trace.instance].append(trace)
    for (name, region, instance), members in sorted(grouped.items()):
        instance_type = TYPES.get(instance, instance)
        most = ondemand.get((region, instance_type)) or ondemand.get((HOME_REGION, instance_type))
        if most is None or len(members) < FEWEST_POOLS:
            continue
        here = [one for one in series if (one.region, one.instance_type) == (region, instance_type)]
        seen = [price for one in here for price in one.prices]
        usual = median(seen) if seen else spot_ratio * most
        step = gcd(*(round(offset) for one in members for offset in one.offsets))
        count = int(min(one.end for one in members) // step)
        yield Market(
            name=f"{name} {region} {instance_type}",
            start=_start(name),
            slot=timedelta(seconds=step),
            ondemand_price=most,
            pools=tuple(_pool(one, region, instance_type, step, count, usual) for one in members),
        )


def _pool(trace: Trace, region: str, instance_type: str, step: int, count: int, usual: float) -> PoolSeries:
    prices: list[float | None] = []
    is_open = []
    run = 0
    for slot in range(count):
        while run + 1 < len(trace.offsets) and trace.offsets[run + 1] <= slot * step:
            run += 1
        price = trace.prices[run]
        prices.append(usual if price is None else price)
        is_open.append(trace.values[run] > 0)
    return PoolSeries(f"{instance_type}.{trace.zone}", region, None, prices, is_open)


def _start(name: str) -> datetime:
    """`aws-10-26-2022` began on that day; other names say nothing, and any day will do."""
    digits = [int(part) for part in name.split("-") if part.isdigit()]
    if len(digits) != 3:
        return datetime(2023, 1, 1, tzinfo=UTC)
    month, day, year = digits
    return datetime(year, month, day, tzinfo=UTC)
