"""Situations to decide in: plain ones to vary, and random ones."""

from datetime import UTC, datetime, timedelta
from random import Random

from decisions.engine import (
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
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONDEMAND = Placement(Mode.ONDEMAND, None, None)
FALLBACK = Placement(Mode.ONDEMAND, None, NOW - HOUR, is_fallback=True)


def pool(name="b", price=0.3, *, before=None, bucket=0, age=timedelta(0), **more):
    """A pool that cost `before` (default: the same) an hour ago."""
    steps = (PriceStep(NOW - HOUR, price if before is None else before), PriceStep(NOW, price))
    return Candidate(
        pool_id=name, region="r", prices=steps, confirmed_at=NOW - age, evidence=Evidence(bucket=bucket), **more
    )


def situation(*candidates, placement=ONDEMAND, ondemand_price=1.0, **more):
    return Situation(
        now=NOW, placement=placement, ondemand_price=ondemand_price, candidates=candidates, **more
    )  # fmt: skip


def in_pool(name, *, hours=24.0):
    return Placement(Mode.SPOT, name, NOW - hours * HOUR)


def random_situation(seed):
    """Anything that a fleet might show, sensible or not."""
    dice = Random(seed)
    names = [f"p{number}" for number in range(dice.randint(0, 6))]
    place = dice.choice(["ondemand", "fallback", "spot", "lost"])
    since = dice.choice([None, NOW - dice.random() * 5 * HOUR, NOW - dice.random() * 200 * HOUR])
    if place == "spot" and names:
        placement = Placement(Mode.SPOT, dice.choice(names), since)
    elif place == "lost":
        placement = Placement(Mode.SPOT, "gone", since)
    else:
        placement = Placement(Mode.ONDEMAND, None, since, is_fallback=place == "fallback")
    return Situation(
        now=NOW,
        placement=placement,
        ondemand_price=dice.choice([1.0, 1.0, 1.0, 0.2, None]),
        candidates=tuple(_random_pool(dice, name) for name in names),
        limits=Limits(
            min_savings_percent=dice.choice([0, 15, 15, 60, 100]),
            risk_threshold=dice.choice([0.0, 0.01, 0.3, 0.3, 1.0]),
            max_switches_per_week=dice.choice([0, 1, 3, 10]),
            max_switches_per_day=dice.choice([0, 1, 3, 10]),
            min_pool_duration_hours=dice.choice([0, 2, 2, 48]),
            price_max_age_seconds=dice.choice([0, 1800, 1800]),
            max_recoveries_per_day=dice.choice([0, 1, 12]),
        ),
        history=History(_random_times(dice, dice.randint(0, 5)), _random_times(dice, dice.randint(0, 3))),
        state=dice.choice([State(), State(NOW - HOUR, {name: dice.random() for name in [*names, ""]})]),
        holds=dice.choice([(), (), (), ("An interruption episode is open.",)]),
    )


def _random_pool(dice, name):
    count = dice.choice([0, 1, 1, 2, 3])
    prices = [dice.choice([0.0, 0.05, 0.1, 0.3, 0.31, 0.6, 0.9, 1.0, 3.0, dice.random()]) for _ in range(count)]
    start = NOW - HOUR * dice.choice([0, 1, 2, 30])
    return Candidate(
        pool_id=name,
        region=dice.choice(["r", "s"]),
        prices=tuple(PriceStep(start + number * HOUR / 3, price) for number, price in enumerate(prices)),
        confirmed_at=dice.choice([None, NOW, NOW, NOW, NOW - dice.random() * HOUR]),
        evidence=Evidence(
            bucket=dice.choice([None, 0, 1, 4]),
            reclaims=dice.choice([0, 0, 1, 7]),
            exposure_hours=dice.choice([0, 5, 500]),
            interruption_probability_24h=dice.choice([None, None, None, 0.0, 0.4, 1.0]),
        ),
        interruptions=_random_setbacks(dice),
        failures=_random_setbacks(dice),
        is_offered=dice.random() < 0.9,
    )


def _random_setbacks(dice):
    if dice.random() < 0.7:
        return Setbacks()
    return Setbacks(NOW - dice.random() * 100 * HOUR, dice.randint(1, 12))


def _random_times(dice, count):
    return tuple(NOW - dice.random() * 9 * 24 * HOUR for _ in range(count))
