"""The best that could have been done by who knew the whole market beforehand, by dynamic programming."""

from dataclasses import dataclass
from math import inf

from decisions.backtest.costs import MOVE_PENALTY, OVERLAP_HOURS, Outcome
from decisions.backtest.market import Market

ONDEMAND = -1


def optimal_path(market: Market, *, risk_value: float) -> list[int]:
    """The placement of each slot (a pool's number, or ONDEMAND) with the least J.

    It obeys no limits, so no policy can do better. A move costs what the place left costs for the overlap, whatever the
    place entered: the best place to come from is the same for all, and a slot takes time linear in the pools.
    """
    ondemand, hours = market.ondemand_price, market.slot_hours
    reclaim_cost, penalty = risk_value * ondemand, MOVE_PENALTY * ondemand
    risk = [pool.reclaims_per_hour * reclaim_cost for pool in market.pools]
    value: dict[int, float] = {}  # least J of having been in a pool in the slot before
    value_ondemand = 0.0
    steps: list[_Step] = []
    for slot in range(market.slots):
        prices = {
            number: price
            for number, pool in enumerate(market.pools)
            if pool.is_open[slot] and (price := pool.prices[slot]) is not None
        }
        origin = ONDEMAND  # where who stands on on-demand comes from: a pool, when it has closed
        for number, so_far in value.items():
            if number not in prices and so_far + reclaim_cost < value_ondemand:
                value_ondemand, origin = so_far + reclaim_cost, number
        arriving, leaving = value_ondemand + OVERLAP_HOURS * ondemand + penalty, origin
        for number, so_far in value.items():
            if number in prices and so_far + OVERLAP_HOURS * prices[number] + penalty < arriving:
                arriving, leaving = so_far + OVERLAP_HOURS * prices[number] + penalty, number
        movers = {number for number in prices if arriving < value.get(number, inf)}
        if moves_to_ondemand := arriving < value_ondemand:
            origin = leaving
        value = {
            number: (arriving if number in movers else value[number]) + (price + risk[number]) * hours
            for number, price in prices.items()
        }
        value_ondemand = (arriving if moves_to_ondemand else value_ondemand) + ondemand * hours
        steps.append(_Step(origin, leaving, movers))
    place = min(value, key=value.__getitem__, default=ONDEMAND)
    if value.get(place, inf) >= value_ondemand:
        place = ONDEMAND
    path = []
    for step in reversed(steps):
        path.append(place)
        place = step.origin if place == ONDEMAND else step.leaving if place in step.movers else place
    return path[::-1]


@dataclass(slots=True)
class _Step:
    """Where the best way into each place of a slot came from."""

    origin: int  # of on-demand
    leaving: int  # of the pools that are best moved into
    movers: set[int]  # these; the others are best stayed in


def follow(market: Market, path: list[int], *, risk_value: float, policy: str = "optimum") -> Outcome:
    """What a given path costs, told the same way as a policy's."""
    hours = market.slots * market.slot_hours
    outcome = Outcome(
        policy=policy,
        market=market.name,
        hours=hours,
        weeks=market.weeks,
        ondemand_bill=hours * market.ondemand_price,
        ondemand_price=market.ondemand_price,
        risk_value=risk_value,
    )
    place, is_fallback = ONDEMAND, False
    for slot, wanted in enumerate(path):
        if place != ONDEMAND and not market.pools[place].is_open[slot]:
            outcome.reclaims += 1
            outcome.reclaims_seen += 1
            place, is_fallback = ONDEMAND, True
        if wanted != place:
            outcome.bill += OVERLAP_HOURS * price_of(market, place, slot)
            outcome.recoveries += is_fallback
            outcome.moves += not is_fallback
            place, is_fallback = wanted, False
        if place != ONDEMAND:
            outcome.reclaims += market.pools[place].reclaims_per_hour * market.slot_hours
        outcome.bill += price_of(market, place, slot) * market.slot_hours
    return outcome


def price_of(market: Market, place: int, slot: int) -> float:
    price = market.ondemand_price if place == ONDEMAND else market.pools[place].prices[slot]
    if price is None:
        raise ValueError(f"{market.pools[place].pool_id} is not offered in slot {slot}")
    return price
