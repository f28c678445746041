"""Moves that wait for a person (`approve` mode): what `run_decisions` proposes, and when that is no longer current.

A recommendation changes under its agent's lock only, so two people, or a person and the job, cannot both decide it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, Q

from agents.models import Agent
from agents.services.commands import lock_agent
from decisions.models import Recommendation
from decisions.services.records import Evaluation, expected_savings_of
from instances.models import InterruptionEpisode
from instances.services import episodes
from instances.services.orders import Target
from notifications.models import Severity
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.fields import DecisionMode, Mode

Status = Recommendation.Status
LIVES = timedelta(hours=24)
QUIET_AFTER_REJECTION = timedelta(hours=24)  # for the same target


@dataclass
class _Known:
    """Of one agent."""

    pending: Recommendation | None = None
    rejected: set[Target] = field(default_factory=set)  # lately


def target_of(evaluation: Evaluation) -> Target:
    pool_id = evaluation.decision.target_pool_id or ""
    return Target(Mode.SPOT if pool_id else Mode.ONDEMAND, pool_id)


def proposed_target(recommendation: Recommendation) -> Target:
    return Target(recommendation.target_mode, recommendation.target_pool_id)


def follow(decided: Iterable[tuple[Evaluation, str]], *, now: datetime) -> int:
    """Bring what waits in agreement with evaluations, each with its record's id. Returns the number of new proposals.

    One statement where nothing is new; each change is a transaction of its own.
    """
    waiting = [(one, record_id) for one, record_id in decided if one.agent.acting_mode is DecisionMode.APPROVE]
    known = _known([one.agent.pk for one, _ in waiting], now) if waiting else {}
    proposed = 0
    for evaluation, record_id in waiting:
        agent_pk, target = evaluation.agent.pk, target_of(evaluation) if evaluation.moves else None
        of_agent = known.get(agent_pk, _Known())
        if of_agent.pending and proposed_target(of_agent.pending) == target:
            continue
        if of_agent.pending:
            _replace(agent_pk=agent_pk, recommendation_pk=of_agent.pending.pk, reason=evaluation.decision.reason)
        if target and target not in of_agent.rejected:
            proposed += propose(evaluation=evaluation, decision_id=record_id, now=now)
    return proposed


@retried_transaction
def propose(*, evaluation: Evaluation, decision_id: str, now: datetime) -> bool:
    """Put it before people, unless what it rests on has changed or something waits already."""
    agent, target = lock_agent(evaluation.agent.pk), target_of(evaluation)
    seen = evaluation.agent
    recommendation = Recommendation(
        client_id=agent.client_id,
        agent=agent,
        decision_id=decision_id,
        instance_id=seen.instance_id,
        current_mode=seen.current_mode,
        current_pool_id=seen.current_pool_id,
        target_mode=target.mode,
        target_pool_id=target.pool_id,
        expected_savings=expected_savings_of(evaluation),
        reason=evaluation.decision.reason,
        created_at=now,
        expires_at=now + LIVES,
    )
    if why_outdated(recommendation, agent, now) or Recommendation.objects.pending().filter(agent=agent).exists():
        return False
    recommendation.save(force_insert=True)
    text = f"A move of {agent.logical_agent_id} waits for approval: {recommendation.reason}"
    tell(recommendation, agent, text)
    notify(
        client=agent.client,
        notification_type="recommendation_pending",
        severity=Severity.WARNING,
        message=text,
        agent_id=agent.public_id,
        metadata={"recommendation_id": recommendation.public_id},
    )
    return True


def expire_outdated(*, now: datetime) -> int:
    """One statement where everything that waits is current; agents that are not evaluated are looked at here only."""
    own = Q(agent__decision_mode=DecisionMode.APPROVE)
    inherited = Q(agent__decision_mode="", agent__client__decision_mode=DecisionMode.APPROVE)
    in_place = Q(
        agent__status=Agent.Status.ONLINE,
        agent__enabled=True,
        agent__instance_id=F("instance_id"),
        agent__current_mode=F("current_mode"),
        agent__current_pool_id=F("current_pool_id"),
    )
    current = Q(expires_at__gt=now, agent__auto_switch_enabled=True) & (own | inherited) & in_place
    open_episodes = InterruptionEpisode.objects.filter(open_for=OuterRef("agent_id"))
    found = Recommendation.objects.pending().filter(~current | Exists(open_episodes))
    pks = list(found.values_list("pk", "agent_id"))
    return sum(_expire_if_outdated(recommendation_pk=pk, agent_pk=agent_pk, now=now) for pk, agent_pk in pks)


def why_outdated(recommendation: Recommendation, agent: Agent, now: datetime) -> str:
    """Empty while it is current, as far as can be told without another evaluation. Under the agent's lock."""
    place = (agent.instance_id, agent.current_mode, agent.current_pool_id)
    if recommendation.expires_at <= now:
        return f"Nobody decided within {LIVES.total_seconds() / 3600:.0f} hours"
    if agent.acting_mode is not DecisionMode.APPROVE:
        return f"The decision mode is {agent.acting_mode} now"
    if not agent.enabled or agent.status != Agent.Status.ONLINE:
        return f"The agent is {agent.status if agent.enabled else 'disabled'}"
    if place != (recommendation.instance_id, recommendation.current_mode, recommendation.current_pool_id):
        return "The workload has moved"
    return "An interruption is being handled" if episodes.any_open(agent=agent) else ""


def close(recommendation: Recommendation, agent: Agent, *, status: Status, note: str = "", actor: str = "") -> None:
    """The caller holds the agent's lock and has seen the row wait."""
    recommendation.status, recommendation.note, recommendation.decided_by = status, note, actor[:64]
    recommendation.decided_at = clock.now()
    recommendation.save(update_fields=["status", "note", "decided_by", "decided_at", "command_id"])
    where = recommendation.target_pool_id or recommendation.target_mode
    text = f"The proposed move of {agent.logical_agent_id} to {where} {_WORDS[status]}{f': {note}' if note else ''}"
    tell(recommendation, agent, text, actor=actor)


def tell(recommendation: Recommendation, agent: Agent, text: str, *, actor: str = "") -> None:
    emit(
        event_type=f"recommendation_{recommendation.status}",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=recommendation.instance_id,
        actor=actor,
        message=text,
        metadata={
            "recommendation_id": recommendation.public_id,
            "decision_id": recommendation.decision_id,
            "status": str(recommendation.status),
            "target_mode": recommendation.target_mode,
            "target_pool_id": recommendation.target_pool_id or None,
            "command_id": recommendation.command_id or None,
        },
    )


_WORDS = {Status.APPROVED: "was approved", Status.REJECTED: "was rejected", Status.EXPIRED: "is no longer current"}


def _known(agent_pks: list[int], now: datetime) -> Mapping[int, _Known]:
    found: dict[int, _Known] = {pk: _Known() for pk in agent_pks}
    lately = Q(status=Status.REJECTED, decided_at__gt=now - QUIET_AFTER_REJECTION)
    rows = Recommendation.objects.filter(Q(status=Status.PENDING) | lately, agent__in=agent_pks).defer("reason", "note")
    for row in rows:
        if row.status == Status.PENDING:
            found[row.agent_id].pending = row
        else:
            found[row.agent_id].rejected.add(proposed_target(row))
    return found


@retried_transaction
def _replace(*, agent_pk: int, recommendation_pk: int, reason: str) -> None:
    """A newer decision says something else."""
    agent = lock_agent(agent_pk)
    if row := Recommendation.objects.pending().filter(pk=recommendation_pk).first():
        close(row, agent, status=Status.EXPIRED, note=f"A newer decision: {reason}")


@retried_transaction
def _expire_if_outdated(*, recommendation_pk: int, agent_pk: int, now: datetime) -> bool:
    agent = lock_agent(agent_pk)
    row = Recommendation.objects.pending().filter(pk=recommendation_pk).first()
    reason = why_outdated(row, agent, now) if row else ""
    if row and reason:
        close(row, agent, status=Status.EXPIRED, note=reason)
    return bool(reason)
