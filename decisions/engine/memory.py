"""What is remembered of a pool, and for how long. The jobs and the backtest keep these; `decide` only reads them."""

from datetime import datetime, timedelta

from decisions.engine.types import NO_SETBACKS, Evidence, Setbacks

HOUR = timedelta(hours=1)
EVIDENCE_HALF_LIFE = timedelta(hours=24)
SHORTEST_QUARANTINE = timedelta(hours=1)
LONGEST_QUARANTINE = timedelta(hours=72)  # after losses
LONGEST_RETRY = timedelta(hours=4)  # after launches that found no capacity: trying again costs nothing but the try
FORGOTTEN_AFTER = timedelta(hours=24)  # a setback that long after the last begins a new run


def weight_now(age: timedelta) -> float:
    """What a reclaim, or an hour of exposure, of `age` ago still counts for in `Evidence`."""
    return float(0.5 ** (max(age, timedelta(0)) / EVIDENCE_HALF_LIFE))


def faded(evidence: Evidence, age: timedelta) -> Evidence:
    weight = weight_now(age)
    return Evidence(
        bucket=evidence.bucket,
        reclaims=evidence.reclaims * weight,
        exposure_hours=evidence.exposure_hours * weight,
        interruption_probability_24h=evidence.interruption_probability_24h,
    )


def after_loss(run: Setbacks, at: datetime, *, has_paid: bool) -> Setbacks:
    """An instance was lost; `has_paid`: it was there for `break_even_hours`, so going there was right all the same."""
    return Setbacks(at, 1) if has_paid else after_failed_launch(run, at)


def after_failed_launch(run: Setbacks, at: datetime) -> Setbacks:
    goes_on = run.last_at is not None and at - run.last_at <= FORGOTTEN_AFTER
    return Setbacks(at, run.count + 1 if goes_on else 1)


def after_launch() -> Setbacks:
    """A launch that succeeded ends the run of those that failed."""
    return NO_SETBACKS


def quarantine_end(run: Setbacks, longest: timedelta) -> datetime | None:
    """An hour after the first setback, twice as long after each further one in a row."""
    if run.last_at is None or run.count <= 0:
        return None
    doubled: timedelta = SHORTEST_QUARANTINE * 2 ** min(run.count - 1, 10)
    return run.last_at + min(doubled, longest)
