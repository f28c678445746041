"""The memory of the rule: what being elsewhere would have saved since the last move."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import inf

from decisions.engine.types import Candidate, PriceStep, Situation, State

HOUR = timedelta(hours=1)
ON_DEMAND = ""  # its key
LONGEST_WINDOW = timedelta(hours=24)  # an engine that was down this long starts over


def updated_regret(situation: Situation, risk_costs: dict[str, float]) -> State:
    """The regret against each pool, brought from the state's time to now along the prices there were.

    Without a state it starts at the last switch, as far as the price steps reach back. On-demand is the key "".
    """
    now, here = situation.now, situation.placement.pool_id or ON_DEMAND
    begin, earlier = _starting_point(situation)
    if begin is None or now - begin > LONGEST_WINDOW:
        return State(at=now)
    if begin > now:  # a clock was set back
        return State(at=now, regret=dict(earlier))
    costs = {
        one.pool_id: cost
        for one in situation.candidates
        if (cost := _cost_over(one, begin, now, risk_costs[one.pool_id])) is not None
    }
    if situation.ondemand_price is not None:
        costs[ON_DEMAND] = situation.ondemand_price * ((now - begin) / HOUR)
    if here not in costs:
        return State(at=now, regret=dict(earlier))
    regret = {}
    for pool_id, there in costs.items():
        total = earlier.get(pool_id, 0.0) + costs[here] - there
        if total > 0 and pool_id != here:
            regret[pool_id] = total
    return State(at=now, regret=regret)


def _starting_point(situation: Situation) -> tuple[datetime | None, Mapping[str, float]]:
    """From when on to add up, and what had been added up until then."""
    state, placement = situation.state, situation.placement
    if state.at is not None and (placement.since is None or placement.since <= state.at):
        return state.at, state.regret
    if placement.since is None:
        return None, {}
    # Nothing is remembered, or somebody moved the workload: a new place, a new regret.
    steps = next((one.prices for one in situation.candidates if one.pool_id == placement.pool_id), ())
    return max(placement.since, steps[0].at) if steps else placement.since, {}


def _cost_over(candidate: Candidate, begin: datetime, end: datetime, risk_cost: float) -> float | None:
    """USD of price and risk from begin to end; None where the price was not known all the time."""
    steps = candidate.prices
    if not steps or steps[0].at > begin:
        return None
    cost = 0.0
    until = end
    for step in reversed(steps):
        if step.at < until:
            start = max(step.at, begin)
            cost += (step.price + risk_cost) * ((until - start) / HOUR)
            until = start
            if start <= begin:
                break
    return cost


def price_now(steps: tuple[PriceStep, ...], now: datetime) -> float | None:
    """None where nothing is known, or what is "known" is no price."""
    if not steps:
        return None
    last = steps[-1]
    price = last.price if last.at <= now else next((one.price for one in reversed(steps) if one.at <= now), 0.0)
    return price if 0 < price < inf else None
