"""What is compared: the built-in engine, and the simple rules that people use instead."""

from datetime import datetime, timedelta

from decisions.backtest.market import Market
from decisions.backtest.optimum import ONDEMAND
from decisions.backtest.simulator import Policy, View
from decisions.engine import (
    Action,
    Candidate,
    Evidence,
    History,
    Limits,
    Mode,
    Placement,
    PriceStep,
    Setbacks,
    Situation,
    State,
    Tuning,
    after_failed_launch,
    after_launch,
    after_loss,
    break_even_hours,
    decide,
    faded,
    risk_value_hours,
)

HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)


class OnDemandPolicy:
    name = "on-demand"

    def start(self, market: Market, limits: Limits) -> None:
        pass

    def choose(self, view: View) -> int:
        return ONDEMAND


class GreedyPolicy:
    """To the cheapest pool, whenever there is a cheaper one. It knows no risk and no patience."""

    name = "greedy"

    def start(self, market: Market, limits: Limits) -> None:
        pass

    def choose(self, view: View) -> int:
        return _cheapest(view, skipped=view.launch_failed)


class LowestPricePolicy:
    """AWS's allocation strategy of that name: the cheapest pool at launch, and there until it is lost."""

    name = "lowest-price"

    def start(self, market: Market, limits: Limits) -> None:
        pass

    def choose(self, view: View) -> int:
        return view.place if view.place != ONDEMAND else _cheapest(view, skipped=view.launch_failed)


def _cheapest(view: View, *, skipped: int | None) -> int:
    """The next cheapest after a launch that found no capacity, so that no rule is stuck on one empty pool."""
    best, best_price = ONDEMAND, view.market.ondemand_price
    for number in range(len(view.market.pools)):
        price = view.price(number)
        if number != skipped and price is not None and price < best_price:
            best, best_price = number, price
    return best


class BuiltInPolicy:
    """The decision core, given what a server would have known."""

    name = "built-in"

    def __init__(self, tuning: Tuning, *, candidates: int = 60) -> None:
        self.tuning, self.most = tuning, candidates

    def start(self, market: Market, limits: Limits) -> None:
        self.limits = limits
        self.state = State()
        count = len(market.pools)
        self.interruptions = [Setbacks()] * count
        self.failures = [Setbacks()] * count
        self.evidence = [Evidence(pool.bucket) for pool in market.pools]
        given = self.tuning.risk_value
        self.risk_value = risk_value_hours(limits.risk_threshold) if given is None else given
        self.before: list[float | None] = [None] * count

    def choose(self, view: View) -> int:
        self._learn(view)
        market, now = view.market, view.now
        numbers = self._considered(view)
        earlier = now - market.slot
        candidates = tuple(self._candidate(view, number, earlier) for number in numbers)
        decision = decide(
            Situation(
                now=now,
                placement=Placement(
                    mode=Mode.ONDEMAND if view.place == ONDEMAND else Mode.SPOT,
                    pool_id=None if view.place == ONDEMAND else market.pools[view.place].pool_id,
                    since=view.since,
                    is_fallback=view.is_fallback,
                ),
                ondemand_price=market.ondemand_price,
                candidates=candidates,
                limits=self.limits,
                history=History(_recent(view.planned, view), _recent(view.recoveries, view)),
                state=self.state,
            ),
            self.tuning,
        )
        self.state = decision.state
        self.before = [view.price(number) for number in range(len(market.pools))]
        if decision.action is Action.STAY:
            return view.place
        if decision.action is Action.SWITCH_ONDEMAND:
            return ONDEMAND
        return next(number for number in numbers if market.pools[number].pool_id == decision.target_pool_id)

    def _considered(self, view: View) -> list[int]:
        """The cheapest ones, as a server would ask its database for, and where the workload is."""
        pools = range(len(view.market.pools))
        priced = [(price, number) for number in pools if (price := view.price(number)) is not None]
        if len(priced) > self.most:
            priced = sorted(priced)[: self.most]
        numbers = [number for _, number in priced]
        if view.place != ONDEMAND and view.place not in numbers:
            numbers.append(view.place)
        return numbers

    def _candidate(self, view: View, number: int, earlier: datetime) -> Candidate:
        pool, price, before = view.market.pools[number], view.price(number), self.before[number]
        steps: tuple[PriceStep, ...] = () if price is None else (PriceStep(view.now, price),)
        if steps and before is not None:
            steps = (PriceStep(earlier, before), *steps)
        return Candidate(
            pool_id=pool.pool_id,
            region=pool.region,
            prices=steps,
            confirmed_at=view.now,
            evidence=self.evidence[number],
            interruptions=self.interruptions[number],
            failures=self.failures[number],
        )

    def _learn(self, view: View) -> None:
        """From its own instance; where prices show losses, from every pool that it watches."""
        market = view.market
        for number, evidence in enumerate(self.evidence):
            price, before = view.price(number), self.before[number]
            was_in, is_lost = number == view.place, number == view.lost
            if market.prices_show_losses and before is not None and before <= market.ondemand_price:
                was_in, is_lost = True, price is None or price > market.ondemand_price
            if was_in or is_lost or evidence.exposure_hours:
                self.evidence[number] = _updated(evidence, market, stayed=was_in, lost=is_lost)
        if view.lost is not None:
            self._remember_loss(view, view.lost)
        if view.launch_failed is not None:
            self.failures[view.launch_failed] = after_failed_launch(self.failures[view.launch_failed], view.now)
        if view.place != ONDEMAND:
            self.failures[view.place] = after_launch()

    def _remember_loss(self, view: View, lost: int) -> None:
        price = self.before[lost] or 0.0
        needed = break_even_hours(price, view.market.ondemand_price, risk_value=self.risk_value, tuning=self.tuning)
        stayed = (view.now - view.entered) / HOUR
        self.interruptions[lost] = after_loss(self.interruptions[lost], view.now, has_paid=stayed >= needed)


def _updated(evidence: Evidence, market: Market, *, stayed: bool, lost: bool) -> Evidence:
    known = faded(evidence, market.slot)
    return Evidence(known.bucket, known.reclaims + lost, known.exposure_hours + stayed * market.slot_hours)


def _recent(moves: list[datetime], view: View) -> tuple[datetime, ...]:
    return tuple(at for at in moves if at > view.now - WEEK)


SIMPLE: dict[str, type[Policy]] = {
    "greedy": GreedyPolicy,
    "lowest-price": LowestPricePolicy,
    "on-demand": OnDemandPolicy,
}
