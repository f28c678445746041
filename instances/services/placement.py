"""Where a standby goes: away from what endangers the primary, then away from what is full or failed, then cheap.

Losses inside a pool come together (design 2.6), so another zone comes before everything else; the same pool is taken
rather than nothing, and the record says so. Only pools of the agent's own type: v2 and v4 cannot change it.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agents.models import Agent
from instances.models import InterruptionEpisode, LaunchFailure, Pool
from spotopt.common import clock

FRESH = timedelta(hours=1)  # agent-api 3.15 rule 3
MEMORY = timedelta(days=2)
HALF_LIFE = timedelta(hours=6)  # a pool that interrupted is trusted half as little less after this time
# A pool that gave nothing this lately is tried after all others: within a notice there is time for four launches, and
# in public traces of spot capacity most closed spells are longer than that.
SHORT_FOR = timedelta(minutes=30)
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Wish:
    """What the caller asked for; everything is optional."""

    pool_id: str = ""  # this one or none
    preferred_zones: Collection[str] = ()
    excluded_zones: Collection[str] = ()
    max_price: Decimal | None = None


@dataclass
class Trouble:
    """A pool's interruptions and the launches it had no capacity for: a decayed number, and the last of the moments."""

    weight: float = 0.0
    last_at: datetime = LONG_AGO


@dataclass(frozen=True)
class Candidate:
    pool: Pool
    tier: int  # 0 another zone, 1 the endangered pool itself
    short_since: datetime  # LONG_AGO: not short of capacity, as far as is known
    trouble: float
    is_fresh: bool
    is_preferred: bool

    @property
    def rank(self) -> tuple[Any, ...]:
        price = self.pool.price if self.is_fresh and self.pool.price is not None else Decimal("Infinity")
        return (
            self.tier,
            self.short_since,
            not self.is_preferred,
            round(self.trouble, 1),
            not self.is_fresh,
            price,
            self.pool.pool_id,
        )


@dataclass(frozen=True)
class Placement:
    """`pool` is None when there is none at all; `record` is what a person reads about it later."""

    pool: Pool | None
    record: dict[str, Any] = field(default_factory=dict)


def choose(*, agent: Agent, wish: Wish, at: datetime) -> Placement:
    """The best pool for a standby of `agent`, and every candidate with the reason it lost."""
    pools = Pool.objects.filter(instance_type=agent.instance_type, region=agent.region, is_active=True)
    if wish.pool_id:
        pools = pools.filter(pool_id=wish.pool_id)
    if agent.protocol == Agent.Protocol.V5:
        pools = pools.filter(az=agent.az)  # v5 launches into its own subnet only (agent-api C19)
    trouble = recent_trouble(pool_ids=[p.pool_id for p in pools], at=at)
    candidates, refused = [], []
    for pool in pools:
        if reason := _refusal(pool, wish):
            refused.append({"pool_id": pool.pool_id, "reason": reason})
        else:
            candidates.append(_candidate(agent, pool, wish, trouble[pool.pool_id], at))
    candidates.sort(key=lambda c: c.rank)
    best = candidates[0] if candidates else None
    return Placement(best.pool if best else None, _record(best, candidates, refused, at))


def recent_trouble(*, pool_ids: Collection[str], at: datetime) -> defaultdict[str, Trouble]:
    """Per pool, Σ 0.5 ** (age / HALF_LIFE) over real interruptions and launches that failed for want of capacity."""
    since = at - MEMORY
    interruptions = InterruptionEpisode.objects.filter(
        pool_id__in=pool_ids,
        detected_at__gt=since,
        is_drill=False,
        kind=InterruptionEpisode.Kind.TERMINATION,
    ).values_list("pool_id", "detected_at")
    failures = LaunchFailure.objects.filter(
        pool_id__in=pool_ids, at__gt=since, error_class=LaunchFailure.Class.CAPACITY
    ).values_list("pool_id", "at")
    troubles: defaultdict[str, Trouble] = defaultdict(Trouble)
    for pool_id, when in [*interruptions, *failures]:
        trouble = troubles[pool_id]
        trouble.weight += 0.5 ** ((at - when) / HALF_LIFE)
        trouble.last_at = max(trouble.last_at, when)
    return troubles


def _refusal(pool: Pool, wish: Wish) -> str:
    if pool.az in wish.excluded_zones:
        return "its zone is excluded"
    if wish.max_price is not None and pool.price is not None and pool.price > wish.max_price:
        return f"it costs more than {wish.max_price}"
    return ""


def _candidate(agent: Agent, pool: Pool, wish: Wish, trouble: Trouble, at: datetime) -> Candidate:
    return Candidate(
        pool=pool,
        tier=0 if pool.az != agent.az else 1,
        short_since=trouble.last_at if at - trouble.last_at < SHORT_FOR else LONG_AGO,
        trouble=trouble.weight,
        is_fresh=bool(pool.last_confirmed_at and at - pool.last_confirmed_at <= FRESH),
        is_preferred=pool.az in wish.preferred_zones,
    )


def _record(
    best: Candidate | None, candidates: list[Candidate], refused: list[dict[str, Any]], at: datetime
) -> dict[str, Any]:
    if best is None:
        note = "There is no pool for this instance type and region"
    elif best.tier:
        note = "Only the primary's own zone was left: what takes the primary may take this standby as well"
    else:
        note = "In another zone than the primary"
    return {
        "at": clock.isoformat(at),
        "chosen": best.pool.pool_id if best else None,
        "note": note,
        "candidates": [
            {
                "pool_id": c.pool.pool_id,
                "other_zone": not c.tier,
                "trouble": round(c.trouble, 2),
                "price": float(c.pool.price) if c.pool.price is not None and c.is_fresh else None,
                "reason": "chosen" if c is best else _why_not(c, best),
            }
            for c in candidates
        ],
        "refused": refused,
    }


def _why_not(candidate: Candidate, best: Candidate | None) -> str:
    reasons = (
        "in the primary's zone",
        "short of capacity a moment ago",
        "not in a preferred zone",
        "interrupted or full lately",
        "no fresh price",
    )
    if best:
        for position, reason in enumerate(reasons):
            if candidate.rank[position] > best.rank[position]:
                return reason
    return "dearer"
