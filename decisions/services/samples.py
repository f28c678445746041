"""Situations of every sort, made up: what an uploaded engine or model must have answered before it may be live."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from decisions.engine import (
    Candidate,
    Decision,
    Evidence,
    History,
    Mode,
    Placement,
    PriceStep,
    Setbacks,
    Situation,
    decide,
)

HOUR = timedelta(hours=1)
ONDEMAND_PRICE = 0.1


def sample_candidates(*, now: datetime) -> tuple[Candidate, ...]:
    """Cheap and dear, rated and unrated, quarantined, stale, without a price, not offered."""
    day = now - timedelta(days=1)

    def pool(letter: str, *prices: float, **more: object) -> Candidate:
        steps = tuple(PriceStep(day + 8 * number * HOUR, price) for number, price in enumerate(prices))
        given: dict[str, object] = {"confirmed_at": now - timedelta(minutes=5), "evidence": Evidence(2)} | more
        return Candidate(f"m5.large.us-east-1{letter}", "us-east-1", steps, **given)  # type: ignore[arg-type]

    return (
        pool("a", 0.04, 0.05, 0.045),
        pool("b", 0.02, 0.021, evidence=Evidence(0, reclaims=0.5, exposure_hours=400)),
        pool("c", 0.03, evidence=Evidence()),
        pool("d", 0.01, interruptions=Setbacks(now - HOUR / 2, 1), evidence=Evidence(4, reclaims=3, exposure_hours=9)),
        pool("e", 0.01, confirmed_at=now - 9 * HOUR),
        pool("f", 0.2, 0.3),
        pool("g"),
        pool("h", 0.02, is_offered=False),
    )


def sample_decisions(*, now: datetime) -> tuple[Mapping[int, Situation], Mapping[int, Decision]]:
    """With what the built-in engine decides in each."""
    pools = sample_candidates(now=now)
    in_pool = Placement(Mode.SPOT, pools[0].pool_id, now - 5 * HOUR)
    ondemand = Placement(Mode.ONDEMAND, None, now - 5 * HOUR)
    fallback = Placement(Mode.ONDEMAND, None, now - HOUR, is_fallback=True)
    lost = Placement(Mode.SPOT, "m5.large.us-east-1z", None)
    busy = History(planned=tuple(now - number * HOUR for number in (3, 4, 5)))
    listed = [
        *(Situation(now, placement, ONDEMAND_PRICE, pools) for placement in (in_pool, ondemand, fallback, lost)),
        Situation(now, in_pool, ONDEMAND_PRICE, pools, history=busy),
        Situation(now, in_pool, ONDEMAND_PRICE, pools, holds=("an order is still open",)),
        Situation(now, in_pool, None, pools),
        Situation(now, ondemand, ONDEMAND_PRICE, ()),
    ]
    situations = dict(enumerate(listed))
    return situations, {number: decide(situation) for number, situation in situations.items()}
