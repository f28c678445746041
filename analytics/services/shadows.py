"""What following the recommendations would have saved: the shadow's stays and the workload's journal × prices.

Both bills cover the same time, that in which both ran, and follow the ledger's rules (`accounting`): prices as step
functions, a silent machine counts until its time-out, time without a known price, here of either, is left out. A move
bills the old place for up to `terminate_wait_seconds` more, on both sides; standbys are in neither bill.
Rows are computed, never counted up: each round does the days since a day before the last one again.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.db.models import F, Q

from agents.models import Agent
from analytics.services.accounting import pieces, seconds_of, usd_of
from analytics.services.ledger import oldest_hour
from decisions.models import Shadow, ShadowDay, ShadowStay
from instances.models import UsageInterval
from instances.selectors.prices import UNKNOWN, Steps, ondemand_steps, spot_steps
from instances.services.usage import last_heard, silent_from
from spotopt.common import clock
from spotopt.common.db import retried_transaction, upsert
from spotopt.common.fields import Mode

AGAIN = timedelta(days=1)  # late reports and prices may change what was computed; older days stay as they are
BATCH = 100  # agents per transaction
DAY = timedelta(days=1)
LONGEST_OVERLAP = timedelta(hours=24)  # terminate_wait_seconds is a day at most
PRIMARY, ZOMBIE = UsageInterval.Role.PRIMARY, UsageInterval.Role.ZOMBIE
_MICROSECOND = timedelta(microseconds=1)
AMOUNTS = ("seconds", "priced_seconds", "real_usd", "shadow_usd")


@dataclass(frozen=True)
class _Stretch:
    """Of the workload or of its shadow: time in one place, which has this on-demand rate."""

    start: datetime
    end: datetime
    mode: str
    pool_id: str
    rate: tuple[str, str]  # instance type, region

    def within(self, start: datetime, end: datetime) -> "_Stretch | None":
        start, end = max(start, self.start), min(end, self.end)
        return replace(self, start=start, end=end) if start < end else None


@dataclass
class _Bills:
    """Times in microseconds, money in USD × microseconds / hour until it is rounded."""

    used: int = 0
    priced: int = 0
    real: Decimal = Decimal(0)
    shadow: Decimal = Decimal(0)

    def rounded(self) -> dict[str, Decimal]:
        """Named as the columns."""
        amounts = seconds_of(self.used), seconds_of(self.priced), usd_of(self.real), usd_of(self.shadow)
        return dict(zip(AMOUNTS, amounts, strict=True))


class _Prices:
    def __init__(self, stretches: Collection[_Stretch], since: datetime, until: datetime) -> None:
        pools = {one.pool_id for one in stretches if one.mode == Mode.SPOT}
        self._spot = spot_steps(pool_ids=pools, since=since, until=until)
        self._ondemand = ondemand_steps(types={one.rate[0] for one in stretches}, since=since, until=until)

    def of(self, stretch: _Stretch) -> Steps:
        if stretch.mode == Mode.SPOT:
            return self._spot.get(stretch.pool_id, UNKNOWN)
        return self._ondemand.get(stretch.rate, UNKNOWN) if stretch.mode == Mode.ONDEMAND else UNKNOWN


@dataclass
class _Account:
    agent: Agent
    since: datetime  # the start of a day
    real: list[_Stretch] = field(default_factory=list)
    shadow: list[_Stretch] = field(default_factory=list)
    real_overlaps: list[_Stretch] = field(default_factory=list)
    shadow_overlaps: list[_Stretch] = field(default_factory=list)

    @property
    def stretches(self) -> list[_Stretch]:
        return [*self.real, *self.shadow, *self.real_overlaps, *self.shadow_overlaps]

    def days(self, prices: _Prices) -> dict[date, _Bills]:
        days: dict[date, _Bills] = defaultdict(_Bills)
        for here, there in self._side_by_side():
            paid, wanted = prices.of(here), prices.of(there)
            for start, end in pieces(here.start, here.end, paid, wanted):
                bills, length = days[start.date()], (end - start) // _MICROSECOND
                real, shadow = paid.at(start), wanted.at(start)
                bills.used += length
                if real is not None and shadow is not None:
                    bills.priced += length
                    bills.real += real * length
                    bills.shadow += shadow * length
        for name, overlaps in (("real", self.real_overlaps), ("shadow", self.shadow_overlaps)):
            for one in overlaps:
                for start, end in pieces(one.start, one.end, steps := prices.of(one)):
                    bill = days[start.date()]
                    usd = (steps.at(start) or 0) * ((end - start) // _MICROSECOND)
                    setattr(bill, name, getattr(bill, name) + usd)
        return days

    def _side_by_side(self) -> Iterator[tuple[_Stretch, _Stretch]]:
        """The workload's and the shadow's place for the same time, wherever both ran."""
        for real in self.real:
            for shadow in self.shadow:
                here = real.within(shadow.start, shadow.end)
                if here:
                    yield here, shadow


def roll_up(*, now: datetime | None = None) -> int:
    """Bring the bills up to now; the number of agents. The cost of one does not grow with its history."""
    now = now or clock.now()
    lately = now - AGAIN
    is_over = Q(ended_at__lte=lately, computed_until__gt=F("ended_at"))
    is_gone = Q(agent__status=Agent.Status.DELETED, agent__deleted_at__lte=lately) & Q(
        computed_until__gt=F("agent__deleted_at")
    )
    pks = list(Shadow.objects.exclude(is_over).exclude(is_gone).order_by("pk").values_list("pk", flat=True))
    return sum(_roll_up(pks[i : i + BATCH], now) for i in range(0, len(pks), BATCH))


@retried_transaction
def _roll_up(pks: list[int], now: datetime) -> int:
    """Another process that does the same agents is not waited for."""
    shadows = Shadow.objects.select_for_update(skip_locked=True).filter(pk__in=pks).order_by("pk")
    accounts = _accounts(list(shadows), now)
    if not accounts:
        return 0
    since = min(account.since for account in accounts.values())
    stretches = [stretch for account in accounts.values() for stretch in account.stretches]
    prices = _Prices(stretches, since, now)
    rows = {
        (pk, day): ShadowDay(client_id=account.agent.client_id, agent_id=pk, day=day, **bills.rounded())
        for pk, account in accounts.items()
        for day, bills in account.days(prices).items()
    }
    upsert(ShadowDay, rows.values(), key=["agent", "day"], update=[*AMOUNTS, "client"])
    known = ShadowDay.objects.filter(agent__in=accounts, day__gte=since.date()).values_list("pk", "agent_id", "day")
    stale = [pk for pk, agent, day in known if day >= accounts[agent].since.date() and (agent, day) not in rows]
    ShadowDay.objects.filter(pk__in=stale).delete()
    Shadow.objects.filter(pk__in=accounts).update(computed_until=now)
    return len(accounts)


def _accounts(shadows: list[Shadow], now: datetime) -> dict[int, _Account]:
    earliest = _day_of(oldest_hour(now)) + DAY
    agents = Agent.objects.in_bulk([one.agent_id for one in shadows])
    accounts = {
        one.agent_id: _Account(agents[one.agent_id], max(_day_of(one.computed_until - AGAIN), earliest))
        for one in shadows
    }
    if accounts:
        _read_stays(accounts, now)
        _read_journal(accounts, now)
    return accounts


def _read_stays(accounts: Mapping[int, _Account], now: datetime) -> None:
    since = min(account.since for account in accounts.values())
    recent = Q(ended_at=None) | Q(ended_at__gt=since - LONGEST_OVERLAP)
    for stay in ShadowStay.objects.filter(recent, agent__in=accounts).order_by("started_at"):
        account = accounts[stay.agent_id]
        end, place = stay.ended_at or now, (stay.mode, stay.pool_id, (stay.instance_type, stay.region))
        _add(account.shadow, _Stretch(stay.started_at, end, *place), account.since, now)
        beyond = end + timedelta(seconds=stay.overlap_seconds)
        _add(account.shadow_overlaps, _Stretch(end, beyond, *place), account.since, now)


def _read_journal(accounts: Mapping[int, _Account], now: datetime) -> None:
    """Of the time that has a shadow beside it."""
    since = min(account.since for account in accounts.values())
    recent = Q(ended_at=None) | Q(ended_at__gt=since)
    intervals = UsageInterval.objects.filter(recent, instance__agent__in=accounts, role__in=[PRIMARY, ZOMBIE])
    for interval in intervals.select_related("instance").order_by("started_at"):
        instance = interval.instance
        account = accounts[instance.agent_id or 0]
        silent_at = silent_from(last_heard(instance=instance, agent=account.agent))
        end = interval.ended_at or min(silent_at or now, now)
        rate = (instance.instance_type, instance.region or account.agent.region)
        stretch = _Stretch(interval.started_at, end, interval.mode, interval.pool_id, rate)
        if interval.role == PRIMARY:
            _add(account.real, stretch, account.since, now)
        elif any(one.start <= interval.started_at < one.end for one in account.shadow):
            wait = timedelta(seconds=account.agent.terminate_wait_seconds)
            _add(account.real_overlaps, stretch, account.since, min(now, interval.started_at + wait))


def _add(stretches: list[_Stretch], stretch: _Stretch, start: datetime, end: datetime) -> None:
    if clipped := stretch.within(start, end):
        stretches.append(clipped)


def _day_of(at: datetime) -> datetime:
    return datetime.combine(at.astimezone(UTC).date(), time(), UTC)
