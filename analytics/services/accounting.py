"""The arithmetic of the ledger (dashboard-api 5.3): usage intervals × prices → cost per clock hour. No database."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from instances.models import UsageInterval
from instances.selectors.prices import Steps
from instances.services.usage import hour_of
from spotopt.common.fields import Mode

HOUR = timedelta(hours=1)
Key = tuple[datetime, str, str, str]  # hour, role, mode, pool id
_MICROSECONDS_PER_HOUR = HOUR // timedelta(microseconds=1)
_SECONDS, _USD = Decimal("0.001"), Decimal("0.000000001")


@dataclass(frozen=True)
class Used:
    """A stretch of time with constant role, mode and pool, within the time that is accounted for."""

    role: str
    mode: str
    pool_id: str
    start: datetime
    end: datetime


@dataclass
class Amounts:
    """Times in microseconds, money in USD × microseconds / hour until it is rounded: sums stay exact."""

    used: int = 0
    priced: int = 0
    paid: Decimal = Decimal(0)
    baseline: Decimal = Decimal(0)

    def rounded(self) -> dict[str, Decimal]:
        """Named as the columns of the ledger."""
        return {
            "seconds": seconds_of(self.used),
            "priced_seconds": seconds_of(self.priced),
            "paid_usd": usd_of(self.paid),
            "baseline_usd": usd_of(self.baseline),
        }


def seconds_of(microseconds: int) -> Decimal:
    return (Decimal(microseconds) / 1_000_000).quantize(_SECONDS)


def usd_of(money: Decimal) -> Decimal:
    """From USD × microseconds / hour."""
    return (money / _MICROSECONDS_PER_HOUR).quantize(_USD)


def amounts_by_hour(stretches: Iterable[Used], *, spot: dict[str, Steps], ondemand: Steps) -> dict[Key, Amounts]:
    """`spot` by pool id. p(t) is the price paid, d(t) the on-demand price; only a primary has a baseline."""
    found: dict[Key, Amounts] = {}
    for used in stretches:
        paid_steps = {Mode.SPOT: spot.get(used.pool_id), Mode.ONDEMAND: ondemand}.get(Mode(used.mode)) or Steps()
        is_primary = used.role == UsageInterval.Role.PRIMARY
        for start, end in pieces(used.start, used.end, paid_steps, ondemand if is_primary else Steps()):
            hour = found.setdefault((hour_of(start), used.role, used.mode, used.pool_id), Amounts())
            length = (end - start) // timedelta(microseconds=1)
            hour.used += length
            paid, listed = paid_steps.at(start), ondemand.at(start) if is_primary else Decimal(0)
            if paid is not None and listed is not None:
                hour.priced += length
                hour.paid += paid * length
                hour.baseline += listed * length
    return found


def pieces(start: datetime, end: datetime, *steps: Steps) -> Iterator[tuple[datetime, datetime]]:
    """The time between, cut at full hours and wherever a price changes."""
    cuts = {start, end, *(t for one in steps for t in one.changes(start, end))}
    full_hour = hour_of(start) + HOUR
    while full_hour < end:
        cuts.add(full_hour)
        full_hour += HOUR
    return pairwise(sorted(cuts))
