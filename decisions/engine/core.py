"""The one function that decides, for the jobs, the endpoints and the backtest. docs/engine.md explains the rule."""

from decisions.engine.assess import Judge, current_of, measure, risk_value_hours
from decisions.engine.explain import explain, summary
from decisions.engine.limits import limit_use
from decisions.engine.regret import updated_regret
from decisions.engine.tuning import DEFAULT, Tuning
from decisions.engine.types import Action, Assessment, Decision, Mode, Situation, State, Verdict

VERSION = "1"


def decide(situation: Situation, tuning: Tuning = DEFAULT) -> Decision:
    """Stay, move to another pool, go to on-demand, or come back. Deterministic; reads no clock, keeps nothing."""
    limits, placement = situation.limits, situation.placement
    risk_value = risk_value_hours(limits.risk_threshold) if tuning.risk_value is None else tuning.risk_value
    measured = measure(situation, risk_value=risk_value)
    current = current_of(measured, situation)
    state = updated_regret(situation, {one.pool_id: one.risk_cost for one in measured if one.pool_id is not None})
    is_recovery = placement.is_fallback and placement.mode is Mode.ONDEMAND
    use = limit_use(situation, is_recovery=is_recovery)
    per_week = limits.max_switches_per_week
    share_used = min(use.week, per_week - 1) / per_week if per_week > 0 else 0.0  # used up: as for the last one
    judge = Judge(situation, current, state, tuning=tuning, share_used=share_used, is_recovery=is_recovery)
    offered = {one.pool_id: one.is_offered for one in situation.candidates}
    for one in measured:
        judge.judge(one, one.pool_id is None or offered.get(one.pool_id, False))
    worthy = [one for one in measured if one.verdict is Verdict.OUTRANKED]
    best = min(worthy, key=lambda one: (one.total_cost, one.pool_id or ""), default=None)
    if best is not None:
        best.verdict = Verdict.LIMITED if use.reached else Verdict.CHOSEN
    moves = best is not None and best.verdict is Verdict.CHOSEN
    measured.sort(key=lambda one: (one is not current, one.total_cost, one.pool_id or ""))
    for one in measured:
        one.reason = explain(one, situation, use, best)
    preferred = _action_towards(best)
    return Decision(
        action=preferred if moves else Action.STAY,
        target_pool_id=best.pool_id if best and moves else None,
        is_recovery=is_recovery and moves,
        reason=summary(situation, current, measured, best, use, is_recovery=is_recovery),
        preferred=preferred,
        preferred_pool_id=best.pool_id if best else None,
        current=current,
        assessments=tuple(measured),
        limits=use,
        risk_value_hours=risk_value,
        state=State(at=situation.now) if moves else state,
    )


def _action_towards(best: Assessment | None) -> Action:
    if best is None:
        return Action.STAY
    return Action.SWITCH_ONDEMAND if best.pool_id is None else Action.SWITCH_SPOT
