"""The hard limits: what an agent's settings forbid, whatever a move would gain (agent-api 1.11)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from decisions.engine.types import Limit, LimitUse, Situation

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


def limit_use(situation: Situation, *, is_recovery: bool) -> LimitUse:
    """Planned moves count by day and week; the return from a forced fall-back counts against a budget of its own."""
    now, limits, history = situation.now, situation.limits, situation.history
    waits: dict[Limit, datetime | None] = {}
    if situation.holds:
        waits[Limit.HELD] = None
    if is_recovery:
        _check(waits, Limit.RECOVERIES, history.recoveries, now, DAY, limits.max_recoveries_per_day)
    else:
        _check(waits, Limit.PER_DAY, history.planned, now, DAY, limits.max_switches_per_day)
        _check(waits, Limit.PER_WEEK, history.planned, now, WEEK, limits.max_switches_per_week)
        since = situation.placement.since
        if since is not None and since + timedelta(hours=limits.min_pool_duration_hours) > now:
            waits[Limit.POOL_DURATION] = since + timedelta(hours=limits.min_pool_duration_hours)
    times = [at for at in waits.values() if at is not None]
    return LimitUse(
        day=_within(history.planned, now, DAY),
        week=_within(history.planned, now, WEEK),
        recoveries_day=_within(history.recoveries, now, DAY),
        reached=tuple(waits),
        resets_at=max(times) if times and len(times) == len(waits) else None,
    )


def _check(
    waits: dict[Limit, datetime | None],
    limit: Limit,
    moves: Sequence[datetime],
    now: datetime,
    span: timedelta,
    most: int,
) -> None:
    recent = sorted(at for at in moves if at > now - span)
    if len(recent) >= most:
        waits[limit] = recent[len(recent) - most] + span if most > 0 else None


def _within(moves: Sequence[datetime], now: datetime, span: timedelta) -> int:
    return sum(at > now - span for at in moves)
