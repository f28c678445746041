"""Replays one market for one policy, slot by slot. The limits are enforced here, whatever a policy wants."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from decisions.backtest.costs import OVERLAP_HOURS, Outcome
from decisions.backtest.market import Market
from decisions.backtest.optimum import ONDEMAND, price_of
from decisions.engine import Limits

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class View:
    """What a policy may know in a slot: the prices up to now, and what happened to its own instance."""

    market: Market
    limits: Limits
    slot: int = 0
    now: datetime = LONG_AGO
    place: int = ONDEMAND
    since: datetime | None = None  # the last switch, forced or not
    entered: datetime = LONG_AGO  # when the place lost in this slot was entered
    is_fallback: bool = False
    planned: list[datetime] = field(default_factory=list)
    recoveries: list[datetime] = field(default_factory=list)
    launch_failed: int | None = None  # the pool whose launch failed in the slot before
    lost: int | None = None  # the pool that was lost in this slot

    def price(self, pool: int) -> float | None:
        return self.market.pools[pool].prices[self.slot]


class Policy(Protocol):
    name: str

    def start(self, market: Market, limits: Limits) -> None:
        """Forget everything: a new market begins."""

    def choose(self, view: View) -> int:
        """The place to be in during this slot: a pool's number, or ONDEMAND."""


def replay(market: Market, policy: Policy, *, limits: Limits, risk_value: float) -> Outcome:
    hours = market.slots * market.slot_hours
    outcome = Outcome(
        policy=policy.name,
        market=market.name,
        hours=hours,
        weeks=market.weeks,
        ondemand_bill=hours * market.ondemand_price,
        ondemand_price=market.ondemand_price,
        risk_value=risk_value,
    )
    policy.start(market, limits)
    view = View(market, limits)
    for slot in range(market.slots):
        view.slot, view.now = slot, market.at(slot)
        _lose_closed_pool(view, outcome)
        wanted = policy.choose(view)
        view.launch_failed = None
        if wanted != view.place:
            _move(view, outcome, wanted)
        if view.place != ONDEMAND:
            outcome.reclaims += market.pools[view.place].reclaims_per_hour * market.slot_hours
        outcome.bill += price_of(market, view.place, slot) * market.slot_hours
    return outcome


def _lose_closed_pool(view: View, outcome: Outcome) -> None:
    view.lost = None
    if view.place != ONDEMAND and not view.market.pools[view.place].is_open[view.slot]:
        outcome.reclaims += 1
        outcome.reclaims_seen += 1
        view.lost = view.place
        view.entered = view.since or view.now
        view.place, view.since, view.is_fallback = ONDEMAND, view.now, True


def _move(view: View, outcome: Outcome, wanted: int) -> None:
    if not _allowed(view, wanted):
        outcome.refused += 1
        return
    if wanted != ONDEMAND and not view.market.pools[wanted].is_open[view.slot]:
        outcome.failed_launches += 1
        view.launch_failed = wanted
        return
    outcome.bill += OVERLAP_HOURS * price_of(view.market, view.place, view.slot)
    if view.is_fallback:
        outcome.recoveries += 1
        view.recoveries.append(view.now)
    else:
        outcome.moves += 1
        view.planned.append(view.now)
    view.place, view.since, view.is_fallback = wanted, view.now, False


def _allowed(view: View, wanted: int) -> bool:
    """agent-api 1.11. The return from a forced fall-back is no planned move: it has a budget of its own."""
    limits, now = view.limits, view.now
    if wanted != ONDEMAND:
        price = view.price(wanted)
        if price is None or (1 - price / view.market.ondemand_price) * 100 < limits.min_savings_percent - 1e-9:
            return False
    if view.is_fallback:
        return _count(view.recoveries, now - DAY) < limits.max_recoveries_per_day
    return (
        _count(view.planned, now - DAY) < limits.max_switches_per_day
        and _count(view.planned, now - WEEK) < limits.max_switches_per_week
        and (view.since is None or now - view.since >= timedelta(hours=limits.min_pool_duration_hours))
    )


def _count(moves: list[datetime], after: datetime) -> int:
    count = 0
    for at in reversed(moves):
        if at <= after:
            break
        count += 1
    return count
