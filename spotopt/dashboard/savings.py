"""Baseline and paid by UTC day or month: the savings tiles and chart."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Sum

from analytics.models import ClientDay
from analytics.selectors.savings import Totals, added
from clients.models import Client
from spotopt.dashboard.charts import Period
from spotopt.dashboard.selectors import of

DAYS, MONTHS = 30, 12
SUMS = {name: Sum(name) for name in ("seconds", "priced_seconds", "paid_usd", "baseline_usd")}
NOTHING = added([])


@dataclass(frozen=True)
class Savings:
    lifetime: Totals
    this_month: Totals
    periods: list[Period]  # oldest first; the last one is today or this month


def savings(*, client: Client | None, by: str, at: datetime) -> Savings:
    """`by`: `daily`, the last 30 days, or `monthly`, the last 12 months."""
    today = at.date()
    days = _by_day(client)
    parts: dict[date, list[Totals]] = defaultdict(list)
    for day, totals in days.items():
        parts[day.replace(day=1)].append(totals)
    months = {month: added(totals) for month, totals in parts.items()}
    if by == "monthly":
        periods = [Period(f"{month:%b %Y}", months.get(month, NOTHING)) for month in _last_months(today)]
    else:
        shown = [today - timedelta(days=back) for back in reversed(range(DAYS))]
        periods = [Period(f"{day:%b} {day.day}", days.get(day, NOTHING)) for day in shown]
    return Savings(added(months.values()), months.get(today.replace(day=1), NOTHING), periods)


def _by_day(client: Client | None) -> dict[date, Totals]:
    rows = of(client, ClientDay.objects.order_by()).values("day").annotate(**SUMS)
    return {row["day"]: Totals.of([dict(row)]) for row in rows}


def _last_months(today: date) -> list[date]:
    """The first days of the last 12 months."""
    number = today.year * 12 + today.month - 1
    return [date(n // 12, n % 12 + 1, 1) for n in range(number - MONTHS + 1, number + 1)]
