"""Decision records (design 2.9): what was seen, what each candidate was worth, what was decided, and why."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agents.models import Agent
from decisions.engine import VERSION, Action, Decision, Situation, State
from decisions.engine.regret import updated_regret
from decisions.models import DecisionRecord
from decisions.services.deciding import BUILT_IN, Ruling
from decisions.services.details import numbers_of, rounded_number
from spotopt.common.fields import DecisionMode

REPEATED_FOR = timedelta(hours=1)  # then the same answer is written down anew, with its present numbers


@dataclass(frozen=True)
class Evaluation:
    agent: Agent
    situation: Situation
    decision: Decision
    engine: str = BUILT_IN
    engine_version: str = VERSION

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


def evaluation_of(agent: Agent, situation: Situation, ruling: Ruling) -> Evaluation:
    return Evaluation(agent, situation, ruling.decision, ruling.engine, ruling.engine_version)


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
        engine=evaluation.engine,
        engine_version=evaluation.engine_version,
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
    agent = evaluation.agent
    modes = {"auto_switch_enabled": agent.auto_switch_enabled, "decision_mode": agent.acting_mode.value}
    return numbers_of(evaluation.situation, evaluation.decision) | modes


def _decimal(value: float | None, places: int) -> Decimal | None:
    rounded = rounded_number(value, places)
    return None if rounded is None else Decimal(str(rounded))
