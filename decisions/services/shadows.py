"""Where each workload would be, had every decision been carried out since its agent left `auto` mode.

The shadow starts where the workload is, with its limits, its week's moves and its memory, and goes its own way from
there: at each evaluation the engine decides for the shadow's place, and a decision to move moves it at once. What holds
the workload (an interruption, a disabled agent) holds the shadow. A place that is lost under both takes the shadow to
where the workload went; a reclaim of a pool where only the shadow is cannot be known, and is not made up.
What it would have cost is computed from its stays by `analytics.services.shadows`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from decisions.engine import Action, Decision, History, Mode, Placement, Situation, State
from decisions.models import Shadow, ShadowStay
from decisions.services.deciding import rulings
from decisions.services.records import Evaluation
from decisions.services.situations import WEEK
from instances.models import Switch
from spotopt.common.db import upsert
from spotopt.common.fields import DecisionMode

Place = tuple[str, str]  # mode, pool id
PLACE = ("instance_type", "region", "mode", "pool_id")
FOLLOWED = [*PLACE, "since", "is_fallback", "state", "moves", "real_instance_id", "followed_at"]
BEGUN = [*FOLLOWED, "started_at", "ended_at", "computed_until"]


def follow(evaluations: Iterable[Evaluation], *, now: datetime) -> None:
    """Start, move and end shadows, in the caller's transaction, which keeps other rounds from these agents.

    One statement for agents in `auto` mode, and up to five more for a batch with others.
    """
    by_agent = {one.agent.pk: one for one in evaluations}
    running = {one.agent_id: one for one in Shadow.objects.filter(agent__in=by_agent, ended_at=None)}
    apart = {pk: one for pk, one in by_agent.items() if one.agent.acting_mode is not DecisionMode.AUTO}
    _end(running.keys() - apart.keys(), now)
    begun = [_begun(one, now) for pk, one in apart.items() if pk not in running]
    going_on = [shadow for pk, shadow in running.items() if pk in apart]
    moved = _go_on(going_on, by_agent, now)
    _end_stays([(one.agent_id, by_agent[one.agent_id].agent.terminate_wait_seconds) for one in moved], now)
    ShadowStay.objects.bulk_create([_stay(one, now) for one in (*begun, *moved)])
    upsert(Shadow, begun, key=["agent"], update=BEGUN)
    upsert(Shadow, going_on, key=["agent"], update=FOLLOWED)  # all but where the roll-up stands


def _go_on(shadows: list[Shadow], by_agent: Mapping[int, Evaluation], now: datetime) -> list[Shadow]:
    """Bring them to now; returns those that are somewhere else than before."""
    lost, before = _lost(shadows, by_agent), {one.agent_id: _where(one) for one in shadows}
    situations: dict[int, Situation] = {}
    for one in shadows:
        evaluation = by_agent[one.agent_id]
        if (one.mode, one.pool_id) in lost[one.agent_id] or not _is_in_reach(one, evaluation):
            _join(one, evaluation, now)
        else:
            situations[one.agent_id] = _situation(one, evaluation, now)
    ruled = rulings(situations)
    for one in shadows:
        if one.agent_id in ruled:
            _step(one, situations[one.agent_id], ruled[one.agent_id].decision)
        one.real_instance_id, one.followed_at = by_agent[one.agent_id].agent.instance_id, now
    return [one for one in shadows if _where(one) != before[one.agent_id]]


def _begun(evaluation: Evaluation, now: datetime) -> Shadow:
    shadow = Shadow(agent=evaluation.agent, started_at=now, computed_until=now)
    _join(shadow, evaluation, now)
    shadow.moves = _as_json(evaluation.situation.history)
    shadow.since = evaluation.situation.placement.since
    shadow.state = evaluation.state_to_keep.as_json()
    return shadow


def _is_in_reach(shadow: Shadow, evaluation: Evaluation) -> bool:
    """Somebody may have given the workload another instance type, or its v5 agent another zone."""
    agent, candidates = evaluation.agent, evaluation.situation.candidates
    is_same_kind = (shadow.instance_type, shadow.region) == (agent.instance_type, agent.region)
    return is_same_kind and (shadow.mode != Mode.SPOT or any(one.pool_id == shadow.pool_id for one in candidates))


def _join(shadow: Shadow, evaluation: Evaluation, now: datetime) -> None:
    """To where the workload is."""
    agent, placement = evaluation.agent, evaluation.situation.placement
    shadow.instance_type, shadow.region = agent.instance_type, agent.region
    shadow.mode, shadow.pool_id = placement.mode.value, placement.pool_id or ""
    shadow.since, shadow.is_fallback, shadow.state = now, placement.is_fallback, State(at=now).as_json()
    shadow.real_instance_id, shadow.followed_at = agent.instance_id, now


def _situation(shadow: Shadow, evaluation: Evaluation, now: datetime) -> Situation:
    placement = Placement(Mode(shadow.mode), shadow.pool_id or None, shadow.since, is_fallback=shadow.is_fallback)
    state, history = State.from_json(shadow.state), _history(shadow, now)
    return replace(evaluation.situation, placement=placement, history=history, state=state)


def _step(shadow: Shadow, situation: Situation, decision: Decision) -> None:
    history = situation.history
    shadow.state = decision.state.as_json()
    if decision.action is not Action.STAY:
        shadow.mode = (Mode.SPOT if decision.target_pool_id else Mode.ONDEMAND).value
        shadow.pool_id = decision.target_pool_id or ""
        shadow.since, shadow.is_fallback = situation.now, False
        name = "recoveries" if decision.is_recovery else "planned"
        history = replace(history, **{name: (*getattr(history, name), situation.now)})
    shadow.moves = _as_json(history)


def _lost(shadows: Iterable[Shadow], by_agent: Mapping[int, Evaluation]) -> dict[int, set[Place]]:
    """By agent: the places its workload was driven out of since its shadow was last moved on."""
    other = {one.agent_id: one for one in shadows if one.real_instance_id != by_agent[one.agent_id].agent.instance_id}
    found: dict[int, set[Place]] = defaultdict(set)
    if not other:
        return found
    since = min(one.followed_at for one in other.values())
    forced = Switch.objects.filter(agent__in=other, trigger=Switch.Trigger.EMERGENCY, created_at__gte=since)
    for agent_pk, at, mode, pool_id in forced.values_list("agent_id", "created_at", "old_mode", "old_pool_id"):
        if at >= other[agent_pk].followed_at:
            found[agent_pk].add((mode, pool_id))
    return found


def _end(agent_pks: Iterable[int], now: datetime) -> None:
    pks = list(agent_pks)
    if pks:
        Shadow.objects.filter(agent__in=pks).update(ended_at=now)
        _end_stays([(pk, 0) for pk in pks], now)


def _end_stays(ended: Iterable[tuple[int, int]], now: datetime) -> None:
    """(agent, seconds for which the old instance stands beside the new one) of each."""
    by_overlap: dict[int, list[int]] = defaultdict(list)
    for pk, seconds in ended:
        by_overlap[seconds].append(pk)
    for seconds, pks in by_overlap.items():
        stays = ShadowStay.objects.filter(agent__in=pks, ended_at=None)
        stays.update(ended_at=now, overlap_seconds=seconds)


def _stay(shadow: Shadow, now: datetime) -> ShadowStay:
    return ShadowStay(agent_id=shadow.agent_id, started_at=now, **dict(zip(PLACE, _where(shadow), strict=True)))


def _where(shadow: Shadow) -> tuple[str, ...]:
    return tuple(getattr(shadow, name) for name in PLACE)


def _history(shadow: Shadow, now: datetime) -> History:
    """Of the last week."""
    times = {name: [datetime.fromisoformat(at) for at in shadow.moves.get(name, [])] for name in _MOVES}
    return History(**{name: tuple(at for at in found if at > now - WEEK) for name, found in times.items()})


def _as_json(history: History) -> dict[str, list[str]]:
    return {name: [at.isoformat() for at in getattr(history, name)] for name in _MOVES}


_MOVES = ("planned", "recoveries")
