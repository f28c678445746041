"""What is asked of the engine about one agent: `decide` and `switch-recommendation` (agent-api 3.28, 3.29)."""

import logging
from typing import Any

from agents.models import Agent
from decisions.engine import Action, Assessment, Mode
from decisions.services.records import Evaluation, record_of
from decisions.services.rounds import evaluate
from instances.models import Pool
from notifications.services import emit
from spotopt.common import clock
from spotopt.common.fields import DecisionMode

log = logging.getLogger(__name__)

ALTERNATIVES = 5
NO_FIGURE = 0.0  # v4-b formats `confidence` and fails on null (agent-api 3.28); the built-in engine has none
UNPLACED = "It is not known where the workload runs"


def decide_for(agent: Agent) -> dict[str, Any]:
    """Writes a record. No order is given here: `run_decisions` does that, for agents that execute them.

    Whatever goes wrong, the answer is to stay: an error would leave the agent without any.
    """
    try:
        evaluation = evaluate(agent)
        if evaluation:
            record_of(evaluation, source="agent", at=clock.now()).save(force_insert=True)
    except Exception as error:
        log.exception("no decision for agent %s", agent.public_id)
        emit(
            event_type="decision_error",
            severity="error",
            client=agent.client,
            agent_id=agent.public_id,
            message=f"No decision for {agent.logical_agent_id}: {type(error).__name__}",
        )
        return _answer(agent, None, "The decision engine failed; staying is safe")
    return _answer(agent, evaluation, evaluation.decision.reason if evaluation else UNPLACED)


def _answer(agent: Agent, evaluation: Evaluation | None, reasoning: str) -> dict[str, Any]:
    decision = evaluation.decision if evaluation else None
    moves = bool(evaluation and evaluation.moves)
    preferred = decision.preferred if decision else Action.STAY
    pool_id = decision.preferred_pool_id if decision else None
    shown = (decision.target or decision.current) if decision else None
    return {
        "action": "SWITCH" if moves else "STAY",
        "confidence": NO_FIGURE,
        "reasoning": reasoning,
        "reason": reasoning,
        "allowed": moves and agent.enabled and agent.acting_mode is DecisionMode.AUTO,
        "decision_type": decision.action.value if decision else Action.STAY.value,
        "recommended_action": "stay" if preferred is Action.STAY else "switch",
        "recommended_mode": _mode(agent, preferred),
        "recommended_pool_id": pool_id or (agent.current_pool_id or None if preferred is Action.STAY else None),
        "target_pool_id": decision.target_pool_id if decision else None,
        "risk_score": _rounded(shown.interruption_probability_24h) if shown else 0.0,
        "expected_savings_per_hour": _rounded(shown.net_saving) if shown and moves else 0.0,
        "instance_id": agent.instance_id or None,
        "agent_id": agent.public_id,
    }


def recommendation_for(agent: Agent) -> dict[str, Any]:
    """What would be done without limits and holds. No effects."""
    evaluation = evaluate(agent)
    preferred = evaluation.decision.preferred if evaluation else Action.STAY
    pool_id = evaluation.decision.preferred_pool_id if evaluation else None
    wanted = _assessment_of(evaluation, preferred, pool_id)
    mode = _mode(agent, preferred)
    decision_type = f"stay_{mode}" if preferred is Action.STAY else f"switch_to_{mode}"
    saving = _rounded(wanted.net_saving) if wanted and preferred is not Action.STAY else None
    return {
        "agent_id": agent.public_id,
        "decision_type": decision_type,
        "recommendation": decision_type,
        "recommended_pool_id": pool_id,
        "target_pool": pool_id,
        "target_type": None if preferred is Action.STAY else mode,
        "risk_score": wanted.interruption_probability_24h if wanted else None,
        "expected_savings": saving,
        "savings_impact": saving,
        "confidence": None,
        "reason": evaluation.decision.reason if evaluation else UNPLACED,
        "auto_switch_enabled": agent.auto_switch_enabled,
        "will_auto_execute": bool(evaluation and evaluation.is_ordered),
        "current_pool": _pool(agent.current_pool_id),
        "alternative_pools": _alternatives(agent),
        "features_used": ["price", "price_history", "interruptions", "launch_failures", "spot_advisor"],
    }


def _assessment_of(evaluation: Evaluation | None, preferred: Action, pool_id: str | None) -> Assessment | None:
    if evaluation is None:
        return None
    if preferred is Action.STAY:
        return evaluation.decision.current
    return next((one for one in evaluation.decision.assessments if one.pool_id == pool_id), None)


def _mode(agent: Agent, preferred: Action) -> str:
    if preferred is Action.STAY:
        return Mode.SPOT.value if agent.current_mode == Mode.SPOT.value else Mode.ONDEMAND.value
    return Mode.SPOT.value if preferred is Action.SWITCH_SPOT else Mode.ONDEMAND.value


def _pool(pool_id: str) -> dict[str, Any] | None:
    pool = Pool.objects.filter(pool_id=pool_id).first() if pool_id else None
    return {"id": pool.pool_id, "name": pool.display_name, "az": pool.az} if pool else None


def _alternatives(agent: Agent) -> list[dict[str, Any]]:
    pools = Pool.objects.filter(instance_type=agent.instance_type, region=agent.region, is_active=True, price__gt=0)
    cheapest = pools.exclude(pool_id=agent.current_pool_id).order_by("price", "id")[:ALTERNATIVES]
    return [
        {"id": pool.pool_id, "name": pool.display_name, "az": pool.az, "spot_price": float(pool.price or 0)}
        for pool in cheapest
    ]


def _rounded(value: float | None) -> float:
    return round(value or 0.0, 6)
