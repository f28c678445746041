"""Sums over the ledger (dashboard-api 5.3): baseline − paid, signed, in USD. One statement each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from django.db.models import Q, QuerySet, Sum

from agents.models import Agent
from analytics.models import UsageLedger
from instances.services.usage import hour_of

_SUMS = {name: Sum(name) for name in ("seconds", "priced_seconds", "paid_usd", "baseline_usd")}


@dataclass(frozen=True)
class Totals:
    """Money covers `priced_seconds` of the `seconds` used; it is None where nothing is priced."""

    seconds: Decimal
    priced_seconds: Decimal
    paid_usd: Decimal | None
    baseline_usd: Decimal | None

    @classmethod
    def of(cls, sums: Iterable[Mapping[str, Any]]) -> Self:
        rows = list(sums)
        total = {name: sum((row[name] or Decimal(0) for row in rows), Decimal(0)) for name in _SUMS}
        is_priced = total["priced_seconds"] > 0
        return cls(
            seconds=total["seconds"],
            priced_seconds=total["priced_seconds"],
            paid_usd=total["paid_usd"] if is_priced else None,
            baseline_usd=total["baseline_usd"] if is_priced else None,
        )

    @property
    def savings_usd(self) -> Decimal | None:
        return None if self.baseline_usd is None or self.paid_usd is None else self.baseline_usd - self.paid_usd


def client_totals(*, client_pk: int, since: datetime | None = None, until: datetime | None = None) -> Totals:
    """Over full hours: the hour of `since` up to, not including, the hour of `until`."""
    rows = _within(UsageLedger.objects.filter(client=client_pk), since, until)
    return Totals.of([rows.aggregate(**_SUMS)])


def agent_totals(*, agent: Agent, since: datetime | None = None, until: datetime | None = None) -> Totals:
    """Of all instances of the agent's lineage, those of agents that were merged into it included."""
    lineage = Q(instance__agent=agent) | Q(instance__agent__merged_into=agent)
    return Totals.of([_within(UsageLedger.objects.filter(lineage), since, until).aggregate(**_SUMS)])


def totals_by_role(*, client_pks: Iterable[int], since: datetime | None = None) -> dict[int, dict[str, Totals]]:
    """By client, then role; what has no rows is missing."""
    rows = _within(UsageLedger.objects.filter(client__in=list(client_pks)), since, None)
    found: dict[int, dict[str, Totals]] = defaultdict(dict)
    for sums in rows.values("client_id", "role").order_by().annotate(**_SUMS):
        found[sums["client_id"]][sums["role"]] = Totals.of([dict(sums)])
    return found


def added(parts: Iterable[Totals]) -> Totals:
    names = list(_SUMS)
    return Totals.of({name: getattr(part, name) for name in names} for part in parts)


def _within(rows: QuerySet[UsageLedger], since: datetime | None, until: datetime | None) -> QuerySet[UsageLedger]:
    if since:
        rows = rows.filter(hour__gte=hour_of(since))
    return rows.filter(hour__lt=hour_of(until)) if until else rows
