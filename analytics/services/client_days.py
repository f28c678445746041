"""The ledger's sums per client and UTC day, which pages read instead of the ledger (dashboard-api 5.3).

`book` carries every change of ledger rows over, in the transaction that makes it and as its last step. What is carried
over is the difference between rows read under their instance's lock and the rows written in their place, so doing a
roll-up again carries over nothing. Day rows are locked in one order, and added up in decimals here rather than by the
database, whose numbers are binary on SQLite. `differences` and `repair` compare and correct.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.db.models import Sum
from django.db.models.functions import TruncDate

from analytics.models import ClientDay, UsageLedger
from clients.models import Client
from spotopt.common.db import retried_transaction, upsert

Key = tuple[int, date]  # client, UTC day
Sums = dict[str, Decimal]

AMOUNTS = ("seconds", "priced_seconds", "paid_usd", "baseline_usd")
TOLERANCE = Decimal("0.000001")  # SQLite adds up in binary


@dataclass(frozen=True)
class Difference:
    client: Client
    day: date
    found: Sums
    ledger: Sums

    def __str__(self) -> str:
        wrong = [n for n in AMOUNTS if abs(self.found[n] - self.ledger[n]) > TOLERANCE]
        values = ", ".join(f"{name} {self.found[name]} instead of {self.ledger[name]}" for name in wrong)
        return f"{self.client.name} {self.day}: {values}"


def book(*, added: Iterable[UsageLedger], removed: Iterable[UsageLedger]) -> None:
    """Within the caller's transaction. A ledger row that is replaced is removed as it was and added as it is."""
    changes: dict[Key, Sums] = defaultdict(lambda: dict.fromkeys(AMOUNTS, Decimal(0)))
    for sign, rows in ((1, added), (-1, removed)):
        for row in rows:
            change = changes[row.client_id, row.hour.date()]
            for name in AMOUNTS:
                change[name] += sign * getattr(row, name)
    changed = {key: change for key, change in changes.items() if any(change.values())}
    if not changed:
        return
    days = _locked(changed)
    for key, change in changed.items():
        for name in AMOUNTS:
            setattr(days[key], name, getattr(days[key], name) + change[name])
    upsert(ClientDay, [days[key] for key in changed], key=("client", "day"), update=AMOUNTS)


def differences(*, clients: Iterable[Client]) -> Iterator[Difference]:
    """Days whose sums are not the ledger's. Each is looked at again under its lock: jobs may go on meanwhile."""
    for client in clients:
        ledger, found = _ledger_days(client), _found_days(client)
        for day in sorted(ledger.keys() | found.keys()):
            if _differ(ledger.get(day, {}), found.get(day, {})) and (difference := _compared(client, day)):
                yield difference


@retried_transaction
def repair(*, client: Client, day: date) -> None:
    """Whoever changes the ledger of that day carries it over either before this sum is taken, or on top of it."""
    row = _locked([(client.pk, day)])[client.pk, day]
    ClientDay.objects.filter(pk=row.pk).update(**_ledger_day(client, day))


def rebuild(*, clients: Iterable[Client]) -> int:
    """Correct all days that differ; returns how many did."""
    number = 0
    for difference in differences(clients=clients):
        repair(client=difference.client, day=difference.day)
        number += 1
    return number


def _locked(keys: Iterable[Key]) -> dict[Key, ClientDay]:
    """The rows of these days, made where there were none, and locked. Rows beside them may be locked with them."""
    wanted = set(keys)
    clients, days = {client for client, _ in wanted}, {day for _, day in wanted}
    rows = ClientDay.objects.select_for_update().filter(client__in=clients, day__in=days).order_by("client_id", "day")
    found = {(row.client_id, row.day): row for row in rows}
    if missing := sorted(wanted - found.keys()):
        # Somebody else may insert the same ones: then this waits for him, and the second look finds his.
        new = [ClientDay(client_id=client, day=day) for client, day in missing]
        ClientDay.objects.bulk_create(new, ignore_conflicts=True)
        found = {(row.client_id, row.day): row for row in rows.all()}
    return found


@retried_transaction
def _compared(client: Client, day: date) -> Difference | None:
    row = _locked([(client.pk, day)])[client.pk, day]
    found, ledger = {name: getattr(row, name) for name in AMOUNTS}, _ledger_day(client, day)
    return Difference(client, day, found, ledger) if _differ(found, ledger) else None


def _differ(one: Sums, other: Sums) -> bool:
    return any(abs(one.get(name, Decimal(0)) - other.get(name, Decimal(0))) > TOLERANCE for name in AMOUNTS)


def _ledger_day(client: Client, day: date) -> Sums:
    start = datetime.combine(day, time(), UTC)
    rows = UsageLedger.objects.filter(client=client, hour__gte=start, hour__lt=start + timedelta(days=1))
    return _rounded(rows.aggregate(**_SUMS))


def _ledger_days(client: Client) -> dict[date, Sums]:
    rows = UsageLedger.objects.filter(client=client).values_list(TruncDate("hour")).order_by()
    by_day = rows.annotate(**{f"{name}_sum": Sum(name) for name in AMOUNTS})
    return {day: _rounded(dict(zip(AMOUNTS, sums, strict=True))) for day, *sums in by_day}


def _found_days(client: Client) -> dict[date, Sums]:
    rows = ClientDay.objects.filter(client=client).values("day", *AMOUNTS)
    return {row["day"]: {name: row[name] for name in AMOUNTS} for row in rows}


def _rounded(sums: dict[str, Decimal | None]) -> Sums:
    return {name: (value or Decimal(0)).quantize(_PLACES[name]) for name, value in sums.items()}


_SUMS = {name: Sum(name) for name in AMOUNTS}
_PLACES = {name: Decimal("0.001" if name.endswith("seconds") else "0.000000001") for name in AMOUNTS}
