"""The market that one instance lives in: pools with a price and an availability for each slot of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PoolSeries:
    """A pool by slots of time.

    `prices` in USD per hour, None where it was not offered; `is_open`: it could be had and kept. `reclaims_per_hour` is
    the published rate: where losses are not in the data themselves, the expected ones count.
    """

    pool_id: str
    region: str
    bucket: int | None  # of AWS's spot advisor, 0..4
    prices: Sequence[float | None]
    is_open: Sequence[bool]
    reclaims_per_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Market:
    name: str
    start: datetime
    slot: timedelta
    ondemand_price: float  # of the instance's own type; it is also the most that is bid for spot capacity
    pools: tuple[PoolSeries, ...]
    prices_show_losses: bool = False  # of the years of bidding: a price above the bid took everybody's instance

    @property
    def slots(self) -> int:
        return len(self.pools[0].prices)

    @property
    def slot_hours(self) -> float:
        return self.slot / timedelta(hours=1)

    @property
    def weeks(self) -> float:
        return self.slots * self.slot / timedelta(weeks=1)

    def at(self, slot: int) -> datetime:
        return self.start + slot * self.slot
