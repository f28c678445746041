"""Prices of a window, read for arithmetic: the same steps as `prices` gives the ledger, in plain numbers.

The database converts times and prices: as datetimes and Decimals they take four times as long to read.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, FloatField, Func, QuerySet

from instances.models import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory
from instances.selectors.prices import PRICE_CARRY, carried, latest_quote
from instances.selectors.weighting import Series, microseconds

_CARRY = PRICE_CARRY // timedelta(microseconds=1)


class Microseconds(Func):
    """A time as whole microseconds since 1970 (SQLite counts milliseconds)."""

    output_field = BigIntegerField()
    template = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', %(expressions)s)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        days = "(julianday(%(expressions)s) - 2440587.5)"
        return self.as_sql(compiler, connection, template=f"CAST(ROUND({days} * 86400000) AS INTEGER) * 1000")


class Plain(Func):
    """A decimal as a floating point number."""

    output_field = FloatField()
    template = "(%(expressions)s + 0e0)"


def spot_series(pools: Sequence[Pool], *, since: datetime, until: datetime) -> dict[str, Series]:
    """By pool id; one statement, however many pools."""
    rows = SpotPriceHistory.objects.filter(pool__in=[pool.pk for pool in pools if pool.pk])
    found = _points(rows, "pool_id", since, until)
    return {pool.pool_id: _series(pool, found[pool.pk]) for pool in pools}


def list_series(quote: OnDemandPrice | None, *, since: datetime, until: datetime) -> Series:
    """Of the on-demand price; empty where none is known."""
    if quote is None:
        return Series()
    rows = OnDemandPriceHistory.objects.filter(quote=quote)
    return _series(quote, _points(rows, "quote_id", since, until)[quote.pk])


def _points(rows: QuerySet[Any], key: str, since: datetime, until: datetime) -> defaultdict[int, dict[int, float]]:
    """What is in effect somewhere in [since, until), by key and time."""
    within = rows.filter(at__gt=since - PRICE_CARRY, at__lt=until)
    found: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for pk, at, price in within.values_list(key, Microseconds("at"), Plain("price")):
        found[pk][at] = price
    return found


def _series(known: Pool | OnDemandPrice, points: dict[int, float]) -> Series:
    if latest := latest_quote(known):
        points[microseconds(latest[0])] = float(latest[1])
    confirmed_at = microseconds(known.last_confirmed_at) if known.last_confirmed_at else None
    steps = list(carried(sorted(points.items()), confirmed_at=confirmed_at, carry=_CARRY))
    return Series([at for at, _ in steps], [value for _, value in steps])
