"""Prices as step functions of time (dashboard-api 5.3): the latest quote at or before t, carried at most 24 h."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.db.models import QuerySet

from instances.models import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory

PRICE_CARRY = timedelta(hours=24)
V = TypeVar("V")


@dataclass(frozen=True)
class Steps:
    """`values[i]` USD per hour from `times[i]` until the next time; None is unknown, as is all before the first."""

    times: list[datetime] = field(default_factory=list)
    values: list[Decimal | None] = field(default_factory=list)

    def at(self, moment: datetime) -> Decimal | None:
        index = bisect_right(self.times, moment) - 1
        return self.values[index] if index >= 0 else None

    def changes(self, start: datetime, end: datetime) -> list[datetime]:
        """The times within (start, end) at which the value changes."""
        return [t for t in self.times[bisect_right(self.times, start) :] if t < end]


UNKNOWN = Steps()


def as_steps(rows: Iterable[tuple[datetime, Decimal]], *, confirmed_at: datetime | None) -> Steps:
    """`rows` by time; the last one was last seen at `confirmed_at`."""
    steps = Steps()
    for at, price in carried(sorted(dict(rows).items()), confirmed_at=confirmed_at, carry=PRICE_CARRY):
        _add(steps, at, price)
    return steps


def carried(quotes: Sequence[tuple[Any, V]], *, confirmed_at: Any, carry: Any) -> Iterator[tuple[Any, V | None]]:
    """From when on each price holds, and None from when on it has been carried for too long.

    `quotes` by time, which may be told in any measure; `carry` is a length of it.
    """
    for index, (at, price) in enumerate(quotes):
        is_last = index + 1 == len(quotes)
        seen_at = max(at, confirmed_at) if is_last and confirmed_at else at
        yield at, price
        if is_last or seen_at + carry < quotes[index + 1][0]:
            yield seen_at + carry, None


def _add(steps: Steps, at: datetime, value: Decimal | None) -> None:
    if not steps.values or steps.values[-1] != value:
        steps.times.append(at)
        steps.values.append(value)


def spot_steps(*, pool_ids: Collection[str], since: datetime, until: datetime) -> dict[str, Steps]:
    """By pool id. Two statements, however many pools."""
    pools = {pool.pk: pool for pool in Pool.objects.filter(pool_id__in=pool_ids)}
    rows = SpotPriceHistory.objects.filter(pool__in=pools)
    found = _history(rows, "pool_id", since, until)
    return {pool.pool_id: _steps(pool, found[pk]) for pk, pool in pools.items()}


def ondemand_steps(*, types: Collection[str], since: datetime, until: datetime) -> dict[tuple[str, str], Steps]:
    """By (instance type, region). Two statements, however many types."""
    quotes = {quote.pk: quote for quote in OnDemandPrice.objects.filter(instance_type__in=types)}
    rows = OnDemandPriceHistory.objects.filter(quote__in=quotes)
    found = _history(rows, "quote_id", since, until)
    return {(q.instance_type, q.region): _steps(q, found[pk]) for pk, q in quotes.items()}


def _history(
    rows: QuerySet[Any], key: str, since: datetime, until: datetime
) -> dict[int, list[tuple[datetime, Decimal]]]:
    """What is in effect somewhere in [since, until); older rows are carried no longer."""
    found: dict[int, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for pk, at, price in rows.filter(at__gt=since - PRICE_CARRY, at__lt=until).values_list(key, "at", "price"):
        found[pk].append((at, price))
    return found


def _steps(known: Pool | OnDemandPrice, rows: list[tuple[datetime, Decimal]]) -> Steps:
    latest = latest_quote(known)
    return as_steps([*rows, latest] if latest else rows, confirmed_at=known.last_confirmed_at)


def latest_quote(known: Pool | OnDemandPrice) -> tuple[datetime, Decimal] | None:
    """The latest row, which may be older than a window, since it lasts until it was last confirmed."""
    latest_at = known.recorded_at or known.changed_at
    is_estimate = isinstance(known, OnDemandPrice) and known.is_estimate
    return None if known.price is None or latest_at is None or is_estimate else (latest_at, known.price)
