"""A client's costs by calendar period, UTC, from the sums of its days (dashboard-api 2.4, 5.3)."""

import calendar
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any

from analytics.models import ClientDay
from clients.models import Client
from spotopt.common import clock

_ZERO, _CENT = Decimal(0), Decimal("0.01")


class Range(StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


@dataclass
class Period:
    """Money is that of the time with known prices; `priced_seconds` of `seconds` tells how much that is."""

    name: str
    start: date
    year: int  # of the ISO week where it is one
    month: int | None = None
    seconds: Decimal = _ZERO
    priced_seconds: Decimal = _ZERO
    paid_usd: Decimal = _ZERO
    baseline_usd: Decimal = _ZERO

    @property
    def savings_usd(self) -> Decimal:
        return self.baseline_usd - self.paid_usd

    @property
    def price_coverage(self) -> float | None:
        """0–1; None where nothing ran."""
        return round(float(self.priced_seconds / self.seconds), 4) if self.seconds else None

    def add(self, row: ClientDay) -> None:
        self.seconds += row.seconds
        self.priced_seconds += row.priced_seconds
        self.paid_usd += row.paid_usd
        self.baseline_usd += row.baseline_usd


@dataclass(frozen=True)
class _Calendar:
    first: Callable[[date], date]  # day of the oldest period shown, by today
    start: Callable[[date], date]  # first day of the period of a day
    period: Callable[[date], Period]  # by its first day


def costs_by_period(*, client: Client, by: Range, all_time: bool = False) -> list[Period]:
    """Without a gap, oldest first, up to and including the current one; from the first one in which anything ran.

    The last 30 days, 12 ISO weeks, 12 months, or all years; with `all_time` whatever there is. One statement.
    """
    periods = _CALENDARS[by]
    today = clock.now().date()
    rows = ClientDay.objects.filter(client=client, seconds__gt=0).order_by("day")
    days = list(rows if all_time else rows.filter(day__gte=periods.first(today)))
    if not days:
        return []
    found = {start: periods.period(start) for start in _starts(periods, days[0].day, today)}
    for row in days:
        found[periods.start(row.day)].add(row)
    return list(found.values())


def monthly_export_rows(*, client: Client) -> Iterator[list[Any]]:
    """Of client_…_savings.csv (dashboard-api 2.10): newest first. The rounded columns keep adding up in each row."""
    for month in reversed(costs_by_period(client=client, by=Range.MONTHLY, all_time=True)):
        baseline, paid = (usd.quantize(_CENT, ROUND_HALF_UP) for usd in (month.baseline_usd, month.paid_usd))
        yield [month.year, month.month, month.name, baseline, paid, baseline - paid]


def _starts(periods: _Calendar, oldest: date, newest: date) -> Iterator[date]:
    day = oldest
    while day <= newest:
        start = periods.start(day)
        yield start
        while periods.start(day) == start:
            day += timedelta(days=1)


def _months_before(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


_CALENDARS = {
    Range.DAILY: _Calendar(
        first=lambda today: today - timedelta(days=29),
        start=lambda day: day,
        period=lambda day: Period(day.isoformat(), day, day.year, day.month),
    ),
    Range.WEEKLY: _Calendar(
        first=lambda today: _monday(today) - timedelta(weeks=11),
        start=_monday,
        period=lambda day: Period(f"{day:%G-W%V}", day, day.isocalendar().year),
    ),
    Range.MONTHLY: _Calendar(
        first=lambda today: _months_before(today, 11),
        start=lambda day: day.replace(day=1),
        period=lambda day: Period(calendar.month_name[day.month], day, day.year, day.month),
    ),
    Range.YEARLY: _Calendar(
        first=lambda today: date.min,
        start=lambda day: day.replace(month=1, day=1),
        period=lambda day: Period(str(day.year), day, day.year),
    ),
}
