"""The ledger: usage intervals × prices, an hour and a row at a time (dashboard-api 5.3).

Rows are computed, never counted up: the same journal and prices give the same rows however often and in whatever
steps it is done. `Instance.ledger_from` says from which hour on an instance's rows are not final.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.conf import settings
from django.db.models import Q

from agents.models import Agent
from analytics.models import UsageLedger
from analytics.services import client_days
from analytics.services.accounting import HOUR, Used, amounts_by_hour
from instances.models import Instance, UsageInterval
from instances.selectors.prices import UNKNOWN, Steps, ondemand_steps, spot_steps
from instances.services.usage import final_before, hour_of, last_heard, silent_from
from spotopt.common import clock
from spotopt.common.db import retried_transaction, upsert
from spotopt.common.fields import Mode

BATCH = 50  # instances per transaction; calls of their agents wait that long
KEY = ("instance", "hour", "role", "mode", "pool_id")
AMOUNTS = ("seconds", "priced_seconds", "paid_usd", "baseline_usd")


@dataclass(frozen=True)
class Summary:
    instances: int = 0  # looked at
    written: int = 0  # rows added or changed
    deleted: int = 0  # rows that are no longer true

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(self.instances + other.instances, self.written + other.written, self.deleted + other.deleted)

    def __str__(self) -> str:
        return f"{self.instances} instances, {self.written} rows written, {self.deleted} deleted"


@dataclass(frozen=True)
class _Account:
    """An instance whose rows from the hour `since` on are to be computed up to `now`."""

    instance: Instance
    agent: Agent | None
    journal: list[UsageInterval]
    since: datetime
    now: datetime

    @property
    def silent_at(self) -> datetime | None:
        """Since when an open interval is not believed to go on, if it is not: the machine is not heard any more."""
        silent_at = silent_from(last_heard(instance=self.instance, agent=self.agent))
        is_open = any(interval.ended_at is None for interval in self.journal)
        return silent_at if is_open and silent_at and silent_at < self.now else None

    @property
    def rate(self) -> tuple[str, str]:
        """What the on-demand price depends on."""
        return self.instance.instance_type, self.instance.region or (self.agent.region if self.agent else "")

    def stretches(self) -> Iterator[Used]:
        open_until = self.silent_at or self.now
        for interval in self.journal:
            start = max(interval.started_at, self.since)
            end = min(interval.ended_at or open_until, self.now)
            if start < end:
                yield Used(interval.role, interval.mode, interval.pool_id, start, end)

    def not_final_from(self) -> datetime | None:
        """The new `ledger_from`. A silent machine that is heard again ran all the time, so its gap stays open."""
        ends = [interval.ended_at for interval in self.journal if interval.ended_at]
        hour = final_before(self.now)
        if self.silent_at:
            hour = min(hour, hour_of(self.silent_at))
        is_over = self.instance.status == Instance.Status.TERMINATED and len(ends) == len(self.journal)
        return None if is_over and all(end <= hour for end in ends) else max(hour, self.since)


def roll_up(*, now: datetime | None = None) -> Summary:
    """Bring the ledger up to date, the current hour included. Instances whose rows are all final are not visited."""
    due = Instance.objects.filter(ledger_from__isnull=False)
    pks = list(due.order_by("ledger_from", "pk").values_list("pk", flat=True))
    batches = (pks[i : i + BATCH] for i in range(0, len(pks), BATCH))
    return sum((_roll_up(batch, now) for batch in batches), Summary())


def oldest_hour(now: datetime) -> datetime:
    """Prices of the time before are pruned, so its rows stay what they are."""
    return hour_of(now - timedelta(days=settings.PRICE_RETENTION_DAYS)) + HOUR


@retried_transaction
def _roll_up(pks: list[int], now: datetime | None) -> Summary:
    """Under the locks of agents and instances, in this order: news waits and then lowers the new `ledger_from`."""
    accounts = _locked_accounts(pks, now)
    if not accounts:
        return Summary()
    known = {_key(row): row for row in UsageLedger.objects.filter(_not_final(accounts))}
    rows = {_key(row): row for row in _computed(accounts)}
    changed = {key: row for key, row in rows.items() if key not in known or _values(known[key]) != _values(row)}
    stale = [row for key, row in known.items() if key not in rows]
    replaced = [known[key] for key in changed if key in known]
    upsert(UsageLedger, changed.values(), key=KEY, update=[*AMOUNTS, "agent"])
    UsageLedger.objects.filter(pk__in=[row.pk for row in stale]).delete()
    _advance(accounts)
    client_days.book(added=changed.values(), removed=[*replaced, *stale])
    return Summary(len(accounts), len(changed), len(stale))


def _locked_accounts(pks: list[int], now: datetime | None) -> list[_Account]:
    own_agents = sorted(set(Instance.objects.filter(pk__in=pks).exclude(agent=None).values_list("agent_id", flat=True)))
    agents = {a.pk: a for a in Agent.objects.select_for_update().filter(pk__in=own_agents).order_by("pk")}
    due = Instance.objects.select_for_update().filter(pk__in=sorted(pks), ledger_from__isnull=False).order_by("pk")
    instances = list(due)
    now = now or clock.now()
    journals: dict[int, list[UsageInterval]] = defaultdict(list)
    for interval in UsageInterval.objects.filter(instance__in=instances).order_by("started_at"):
        journals[interval.instance_id].append(interval)
    return [
        _Account(
            instance=instance,
            agent=agents.get(instance.agent_id) if instance.agent_id else None,
            journal=journals[instance.pk],
            since=max(hour_of(instance.ledger_from), oldest_hour(now)),
            now=now,
        )
        for instance in instances
        if instance.ledger_from
    ]


def _computed(accounts: list[_Account]) -> Iterator[UsageLedger]:
    since, until = min(account.since for account in accounts), max(account.now for account in accounts)
    used = {account.instance.pk: list(account.stretches()) for account in accounts}
    pools = {u.pool_id for stretches in used.values() for u in stretches if u.mode == Mode.SPOT}
    spot = spot_steps(pool_ids=pools, since=since, until=until)
    ondemand = ondemand_steps(types={account.rate[0] for account in accounts}, since=since, until=until)
    for account in accounts:
        yield from _rows(account, used[account.instance.pk], spot, ondemand.get(account.rate, UNKNOWN))


def _rows(account: _Account, used: list[Used], spot: dict[str, Steps], ondemand: Steps) -> Iterator[UsageLedger]:
    for (hour, role, mode, pool_id), amounts in amounts_by_hour(used, spot=spot, ondemand=ondemand).items():
        yield UsageLedger(
            client_id=account.instance.client_id,
            agent_id=account.instance.agent_id,
            instance_id=account.instance.pk,
            hour=hour,
            role=role,
            mode=mode,
            pool_id=pool_id,
            **amounts.rounded(),
        )


def _not_final(accounts: list[_Account]) -> Q:
    return reduce(or_, (Q(instance_id=account.instance.pk, hour__gte=account.since) for account in accounts))


def _advance(accounts: list[_Account]) -> None:
    moved: dict[datetime | None, list[int]] = defaultdict(list)
    for account in accounts:
        if (hour := account.not_final_from()) != account.instance.ledger_from:
            moved[hour].append(account.instance.pk)
    for hour, pks in moved.items():
        Instance.objects.filter(pk__in=pks).update(ledger_from=hour)


def _key(row: UsageLedger) -> tuple[int, datetime, str, str, str]:
    return row.instance_id, row.hour, row.role, row.mode, row.pool_id


def _values(row: UsageLedger) -> tuple[object, ...]:
    return row.agent_id, *(getattr(row, name) for name in AMOUNTS)
