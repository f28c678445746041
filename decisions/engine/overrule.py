"""Another engine's choice, held to the limits that bind this one."""

from dataclasses import replace

from decisions.engine.regret import updated_regret
from decisions.engine.types import Action, Assessment, Decision, Mode, Situation, State, Verdict

# A choice of taste. All other verdicts but CURRENT are limits: prices unknown, too old or too high, quarantine, risk.
OPEN_TO_CHOICE = {Verdict.CHOSEN, Verdict.OUTRANKED, Verdict.LIMITED, Verdict.NOT_WORTH_A_MOVE, Verdict.NOT_BETTER}


class LimitViolated(Exception):
    """The choice is one that no engine has."""


def overruled(
    situation: Situation, decision: Decision, *, action: Action, target_pool_id: str | None, reason: str
) -> Decision:
    """`decision`, the built-in one for `situation`, with another choice in its place. Raises LimitViolated."""
    chosen = None if action is Action.STAY else _chosen(situation, decision, action, target_pool_id)
    assessments = tuple(_with_verdict(one, chosen) for one in decision.assessments)
    risk_costs = {one.pool_id: one.risk_cost for one in assessments if one.pool_id is not None}
    placement = situation.placement
    return replace(
        decision,
        action=action,
        target_pool_id=chosen.pool_id if chosen else None,
        is_recovery=chosen is not None and placement.is_fallback and placement.mode is Mode.ONDEMAND,
        reason=reason,
        preferred=action,
        preferred_pool_id=chosen.pool_id if chosen else None,
        current=next(one for one in assessments if one.verdict is Verdict.CURRENT),
        assessments=assessments,
        state=State(at=situation.now) if chosen else updated_regret(situation, risk_costs),
    )


def _chosen(situation: Situation, decision: Decision, action: Action, target_pool_id: str | None) -> Assessment:
    wanted = target_pool_id or "" if action is Action.SWITCH_SPOT else None
    chosen = next((one for one in decision.assessments if one.pool_id == wanted), None)
    if chosen is None or chosen.verdict is Verdict.CURRENT:
        raise LimitViolated("it is no place the workload can be moved to")
    if decision.limits.reached:
        raise LimitViolated(f"moves are not allowed now: {', '.join(decision.limits.reached)}")
    if chosen.verdict not in OPEN_TO_CHOICE:
        raise LimitViolated(chosen.verdict.value)
    risk = chosen.payback_risk
    if chosen.pool_id is not None and (risk is None or risk > situation.limits.risk_threshold):
        raise LimitViolated(Verdict.TOO_RISKY.value)  # a move that never pays for itself never does so before a loss
    return chosen


def _with_verdict(one: Assessment, chosen: Assessment | None) -> Assessment:
    if one is chosen:
        return replace(one, verdict=Verdict.CHOSEN, reason="The uploaded engine chose it.")
    if one.verdict in (Verdict.CHOSEN, Verdict.LIMITED):
        return replace(one, verdict=Verdict.OUTRANKED, reason="The uploaded engine chose otherwise.")
    return one
