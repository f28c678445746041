"""What a model is told of a pool (docs/models.md): the same at decision time, in the backtest and for training."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from decisions.engine import Candidate, PriceStep
from decisions.engine.regret import price_now

UNKNOWN = -1.0  # none of the features can be negative
HOUR, DAY = timedelta(hours=1), timedelta(hours=24)

# In the order of the columns. A new version of the server may append to them, never change or reorder them.
FEATURES = (
    "price",  # USD per hour, now
    "ondemand_price",  # USD per hour, of the pool's own type
    "price_ratio",  # the one by the other
    "price_mean_24h",  # USD per hour, weighted by time, over the part of the last 24 h that is known
    "price_lowest_24h",  # USD per hour
    "price_highest_24h",  # USD per hour
    "price_changes_24h",  # how many
    "advisor_bucket",  # of AWS's spot advisor, 0..4
    "fleet_reclaims",  # of instances of the fleet in the pool; one counts half after 24 h
    "fleet_exposure_hours",  # instance-hours of the fleet in the pool, fading in the same way
    "hours_since_reclaim",  # within the last 72 h; those within an hour of each other count as one
    "hours_since_failed_launch",  # for lack of capacity, within the last 72 h
    "hour_of_day",  # UTC, 0 to 23.99
    "day_of_week",  # UTC, 0 is Monday
)


def features_of(candidate: Candidate, *, ondemand_price: float | None, now: datetime) -> list[float]:
    """A row in the order of FEATURES; UNKNOWN where nothing is known."""
    price, evidence = price_now(candidate.prices, now), candidate.evidence
    mean, lowest, highest, changes = _of_the_last_day(candidate.prices, now)
    return [
        _known(price),
        _known(ondemand_price),
        price / ondemand_price if price is not None and ondemand_price else UNKNOWN,
        mean,
        lowest,
        highest,
        changes,
        _known(evidence.bucket),
        evidence.reclaims,
        evidence.exposure_hours,
        _hours_since(candidate.interruptions.last_at, now),
        _hours_since(candidate.failures.last_at, now),
        now.hour + now.minute / 60 + now.second / 3600,
        float(now.weekday()),
    ]


def _of_the_last_day(steps: Sequence[PriceStep], now: datetime) -> tuple[float, float, float, float]:
    begin = now - DAY
    until, total, hours, changes = now, 0.0, 0.0, 0
    seen: list[float] = []
    for step in reversed(steps):
        if step.at > now:
            continue
        lasted = (until - max(step.at, begin)) / HOUR
        total, hours, until = total + step.price * lasted, hours + lasted, max(step.at, begin)
        changes += bool(seen) and seen[-1] != step.price
        seen.append(step.price)
        if step.at <= begin:
            break
    if not seen:
        return UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN
    mean = total / hours if hours else seen[0]
    return mean, min(seen), max(seen), float(changes)


def _hours_since(at: datetime | None, now: datetime) -> float:
    return UNKNOWN if at is None else max((now - at) / HOUR, 0.0)


def _known(value: float | None) -> float:
    return UNKNOWN if value is None else float(value)
