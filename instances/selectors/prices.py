"""Prices as step functions of time (dashboard-api 5.3): the latest quote at or before t, carried at most 24 h."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from instances.models import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory

PRICE_CARRY = timedelta(hours=24)


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
    quotes = sorted(dict(rows).items())
    for index, (at, price) in enumerate(quotes):
        is_last = index + 1 == len(quotes)
        seen_at = max(at, confirmed_at) if is_last and confirmed_at else at
        _add(steps, at, price)
        if is_last or seen_at + PRICE_CARRY < quotes[index + 1][0]:
            _add(steps, seen_at + PRICE_CARRY, None)
    return steps


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
    """With the latest row, which may be older than the others asked for, since it lasts until it was last confirmed."""
    latest_at = known.recorded_at or known.changed_at
    is_estimate = isinstance(known, OnDemandPrice) and known.is_estimate
    if known.price is not None and latest_at is not None and not is_estimate:
        rows = [*rows, (latest_at, known.price)]
    return as_steps(rows, confirmed_at=known.last_confirmed_at)
