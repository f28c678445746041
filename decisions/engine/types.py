"""What goes into a decision and what comes out of it. Prices in USD per hour, times aware UTC, rates per hour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import Any, Self


class Mode(StrEnum):
    SPOT = "spot"
    ONDEMAND = "ondemand"


class Action(StrEnum):
    """The values of `DecisionRecord.Type`."""

    STAY = "stay"
    SWITCH_SPOT = "switch_spot"
    SWITCH_ONDEMAND = "switch_ondemand"


class Verdict(StrEnum):
    """Why a candidate was taken, or the first reason why not."""

    CHOSEN = "chosen"
    CURRENT = "current"
    NOT_OFFERED = "not_offered"
    UNKNOWN_PRICE = "unknown_price"
    NO_BASIS = "no_basis"  # on-demand's price, or the present one, is not known or stale: nothing to compare with
    STALE_PRICE = "stale_price"
    ABOVE_ONDEMAND = "above_ondemand"
    QUARANTINED = "quarantined"
    SAVES_TOO_LITTLE = "saves_too_little"  # less than min_savings_percent of on-demand
    NOT_BETTER = "not_better"  # than where the workload is, risk included
    TOO_RISKY = "too_risky"  # likely lost before the move has paid for itself
    NOT_WORTH_A_MOVE = "not_worth_a_move"  # better, but not by enough or not for long enough yet
    LIMITED = "limited"  # worth it, but a limit forbids moving now
    OUTRANKED = "outranked"  # worth it, but another gains more


class Limit(StrEnum):
    """Which hard limit forbids to move now (agent-api 1.11, and what the caller says)."""

    HELD = "held"  # by the caller: open episode, open command, disabled …
    POOL_DURATION = "min_pool_duration_hours"
    PER_DAY = "max_switches_per_day"
    PER_WEEK = "max_switches_per_week"
    RECOVERIES = "max_recoveries_per_day"


@dataclass(frozen=True, slots=True)
class PriceStep:
    """From `at` on the pool costs `price`, until the next step."""

    at: datetime
    price: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about how often a pool takes instances back.

    `bucket` is AWS's published one (0..4); where its advisor leaves a type out that it could rate, 4. `reclaims` in
    `exposure_hours` are the fleet's own, over all tenants, each weighted by its age (`memory.weight_now`). A model's
    `interruption_probability_24h` replaces both.
    """

    bucket: int | None = None
    reclaims: float = 0.0
    exposure_hours: float = 0.0
    interruption_probability_24h: float | None = None


@dataclass(frozen=True, slots=True)
class Setbacks:
    """How many losses, or failed launches, in a row a pool has behind it (`memory.after_loss`)."""

    last_at: datetime | None = None
    count: int = 0


NO_SETBACKS = Setbacks()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A spot pool the workload could be in, the one it is in included.

    `prices` in time order: what was known since the state was made, with one step at or before that; empty is unknown.
    """

    pool_id: str
    region: str
    prices: tuple[PriceStep, ...]
    confirmed_at: datetime | None  # when the last price was last seen to hold
    evidence: Evidence = Evidence()
    interruptions: Setbacks = NO_SETBACKS
    failures: Setbacks = NO_SETBACKS  # launches that found no capacity
    is_offered: bool = True


@dataclass(frozen=True, slots=True)
class Placement:
    mode: Mode
    pool_id: str | None  # None on on-demand
    since: datetime | None  # the last switch; None: never switched
    is_fallback: bool = False  # on on-demand because spot capacity was lost, not by choice


@dataclass(frozen=True, slots=True)
class Limits:
    """agent-api 1.11, with its defaults."""

    min_savings_percent: float = 15.0
    risk_threshold: float = 0.30
    max_switches_per_week: int = 10
    max_switches_per_day: int = 3
    min_pool_duration_hours: float = 2.0
    price_max_age_seconds: float = 1800.0
    max_recoveries_per_day: int = 12


@dataclass(frozen=True, slots=True)
class History:
    """The workload's own moves of the last seven days; forced failovers are in neither list."""

    planned: tuple[datetime, ...] = ()
    recoveries: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What the engine remembers of an agent between two decisions.

    `regret[pool]` is the USD that being there instead would have saved since the last move, never less than 0; "" is
    on-demand. Losing the state costs patience, not correctness: it is accumulated again.
    """

    at: datetime | None = None
    regret: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"at": self.at.isoformat() if self.at else None, "regret": dict(self.regret)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        at = stored.get("at")
        regret = {str(pool): float(usd) for pool, usd in (stored.get("regret") or {}).items()}
        return cls(at=datetime.fromisoformat(at) if at else None, regret=regret)


@dataclass(frozen=True, slots=True)
class Situation:
    """All that one decision depends on."""

    now: datetime
    placement: Placement
    ondemand_price: float | None  # of the workload's own type, where it falls back to; None: not known
    candidates: tuple[Candidate, ...]
    limits: Limits = Limits()
    history: History = History()
    state: State = State()
    holds: tuple[str, ...] = ()  # the caller's reasons why nothing may be done now, in words


@dataclass(slots=True)
class Assessment:
    """One candidate's numbers, `pool_id` None for on-demand. None is unknown. USD per hour where not said otherwise."""

    pool_id: str | None
    price: float | None = None
    total_cost: float = inf  # price and risk; infinite where the price is not known
    price_age_seconds: float | None = None
    hazard_per_hour: float = 0.0
    interruption_probability_24h: float | None = 0.0  # None: nothing is published, reported or predicted of the pool
    risk_cost: float = 0.0  # hazard × what a reclaim is worth
    saving: float | None = None  # in price, against where the workload is
    net_saving: float | None = None  # expected: risk counted, the move spread over the time it is likely to last
    regret_usd: float = 0.0
    gain_usd: float = 0.0  # regret, and what the look-ahead adds
    move_price_usd: float = 0.0  # what the gain must reach
    payback_risk: float | None = None  # probability of losing the pool before the move has paid for itself
    quarantined_until: datetime | None = None
    verdict: Verdict = Verdict.NOT_BETTER
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How far the limits are used up. `resets_at`: when the ones in `reached` may allow a move again."""

    day: int
    week: int
    recoveries_day: int
    reached: tuple[Limit, ...]
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    target_pool_id: str | None  # of a switch to spot
    is_recovery: bool  # the return from a forced fall-back, which has its own budget
    reason: str
    preferred: Action  # what would be done without limits and holds
    preferred_pool_id: str | None
    current: Assessment
    assessments: tuple[Assessment, ...]  # current first, then by price and risk
    limits: LimitUse
    risk_value_hours: float
    state: State  # to be given to the next decision

    @property
    def target(self) -> Assessment | None:
        """The numbers of where it goes; None when it stays."""
        return next((one for one in self.assessments if one.verdict is Verdict.CHOSEN), None)
