"""Decision records (design 2.9): what was seen, what each candidate was worth, what was decided, and why."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from agents.models import Agent
from decisions.engine import VERSION, Action, Assessment, Decision, Mode, Situation, State
from decisions.engine.regret import updated_regret
from decisions.models import DecisionRecord
from spotopt.common import clock
from spotopt.common.fields import DecisionMode

ENGINE = "built-in"
REPEATED_FOR = timedelta(hours=1)  # then the same answer is written down anew, with its present numbers


@dataclass(frozen=True)
class Evaluation:
    agent: Agent
    situation: Situation
    decision: Decision

    @property
    def moves(self) -> bool:
        return self.decision.action is not Action.STAY

    @property
    def is_ordered(self) -> bool:
        """By the server itself: the agent's mode is `auto`."""
        return self.moves and self.agent.acting_mode is DecisionMode.AUTO

    @property
    def state_to_keep(self) -> State:
        """`decision.state` takes it that the move happens; where it only may, what speaks for it is kept."""
        if not self.moves or self.is_ordered:
            return self.decision.state
        risk_costs = {one.pool_id: one.risk_cost for one in self.decision.assessments if one.pool_id is not None}
        return updated_regret(self.situation, risk_costs)

    @property
    def answer(self) -> str:
        """The same for two evaluations that say the same, whatever the numbers."""
        decision = self.decision
        verdicts = sorted((one.pool_id or "", one.verdict.value) for one in decision.assessments)
        said = (decision.action, decision.target_pool_id, decision.preferred, decision.preferred_pool_id)
        return hashlib.sha256(
            repr((said, self.situation.holds, decision.limits.reached, verdicts)).encode()
        ).hexdigest()


def record_of(evaluation: Evaluation, *, source: str, at: datetime) -> DecisionRecord:
    """Unsaved. `confidence` stays unknown: the built-in engine has no such figure."""
    agent, decision = evaluation.agent, evaluation.decision
    shown = decision.target or decision.current
    return DecisionRecord(
        client_id=agent.client_id,
        agent=agent,
        decision_type=decision.action.value,
        action="recover" if decision.is_recovery else decision.action.value,
        source=source,
        engine=ENGINE,
        engine_version=VERSION,
        current_mode=agent.current_mode,
        current_pool_id=agent.current_pool_id,
        target_pool_id=decision.target_pool_id or "",
        risk_score=_decimal(shown.interruption_probability_24h, 4),
        expected_savings=expected_savings_of(evaluation),
        reason=decision.reason,
        details=details_of(evaluation),
        created_at=at,
        last_evaluated_at=at,
    )


def expected_savings_of(evaluation: Evaluation) -> Decimal | None:
    """USD per hour; unknown where it stays."""
    target = evaluation.decision.target
    return _decimal(target.net_saving, 6) if target else None


def details_of(evaluation: Evaluation) -> dict[str, Any]:
    situation, decision = evaluation.situation, evaluation.decision
    limits = situation.limits
    return {
        "ondemand_price": situation.ondemand_price,
        "placement": {
            "mode": situation.placement.mode.value,
            "pool_id": situation.placement.pool_id,
            "since": clock.isoformat(situation.placement.since),
            "is_fallback": situation.placement.is_fallback,
        },
        "holds": list(situation.holds),
        "limits": {
            "min_savings_percent": limits.min_savings_percent,
            "risk_threshold": limits.risk_threshold,
            "switches_today": f"{decision.limits.day} of {limits.max_switches_per_day}",
            "switches_this_week": f"{decision.limits.week} of {limits.max_switches_per_week}",
            "reached": [limit.value for limit in decision.limits.reached],
            "resets_at": clock.isoformat(decision.limits.resets_at),
        },
        "auto_switch_enabled": evaluation.agent.auto_switch_enabled,
        "decision_mode": evaluation.agent.acting_mode.value,
        "risk_value_hours": _rounded(decision.risk_value_hours),
        "preferred": {"action": decision.preferred.value, "pool_id": decision.preferred_pool_id},
        "candidates": [_candidate(one) for one in decision.assessments],
    }


def _candidate(one: Assessment) -> dict[str, Any]:
    return {
        "pool_id": one.pool_id,
        "mode": (Mode.ONDEMAND if one.pool_id is None else Mode.SPOT).value,
        "price": _rounded(one.price),
        "price_age_seconds": _rounded(one.price_age_seconds, 0),
        "interruption_probability_24h": _rounded(one.interruption_probability_24h),
        "risk_cost": _rounded(one.risk_cost),
        "total_cost": _rounded(one.total_cost),
        "saving": _rounded(one.saving),
        "net_saving": _rounded(one.net_saving),
        "gain_usd": _rounded(one.gain_usd),
        "move_price_usd": _rounded(one.move_price_usd),
        "quarantined_until": clock.isoformat(one.quarantined_until),
        "verdict": one.verdict.value,
        "reason": one.reason,
    }


def _rounded(value: float | None, places: int = 6) -> float | None:
    return round(value, places) if value is not None and isfinite(value) else None


def _decimal(value: float | None, places: int) -> Decimal | None:
    rounded = _rounded(value, places)
    return None if rounded is None else Decimal(str(rounded))
