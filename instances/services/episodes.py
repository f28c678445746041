"""Interruption signals as episodes: one row however often an agent repeats itself (agent-api 2.6, 3.14).

Callers hold the agent's lock.
"""

from datetime import datetime, timedelta

from agents.models import Agent
from instances.models import Instance, InterruptionEpisode, Replica
from instances.selectors.samples import recent_samples
from notifications.services import emit, notify
from spotopt.common import clock

Kind, Status, Response = InterruptionEpisode.Kind, InterruptionEpisode.Status, InterruptionEpisode.Response
WINDOW = timedelta(hours=2)  # a recommendation without an interruption is over after this (3.15)
GRACE = timedelta(seconds=60)  # AWS may be late
SAMPLE_MAX_AGE = timedelta(hours=1)


def open_of(*, agent: Agent, instance_id: str, kind: str) -> InterruptionEpisode | None:
    found = InterruptionEpisode.objects.filter(agent=agent, instance_id=instance_id, kind=kind)
    return found.filter(status__in=InterruptionEpisode.OPEN).first()


def any_open(*, agent: Agent) -> bool:
    return InterruptionEpisode.objects.filter(agent=agent, status__in=InterruptionEpisode.OPEN).exists()


def open_or_refresh(
    *,
    agent: Agent,
    instance: Instance,
    kind: str,
    at: datetime,
    deadline: datetime | None = None,
    is_drill: bool = False,
) -> InterruptionEpisode:
    """The first report opens it, marks the agent and is told; repeats only count."""
    if episode := open_of(agent=agent, instance_id=instance.instance_id, kind=kind):
        episode.reports += 1
        episode.last_reported_at = at
        episode.save(update_fields=["reports", "last_reported_at"])
        return episode
    if instance.is_primary:
        _mark_agent(agent, kind, at, deadline)
    if deadline and not is_drill:
        instance.notice_deadline = deadline
        instance.save(update_fields=["notice_deadline"])
    prices = recent_samples(
        pool_ids=[instance.pool_id],
        instance_type=instance.instance_type,
        region=instance.region,
        not_before=at - SAMPLE_MAX_AGE,
    )
    episode = InterruptionEpisode.objects.create(
        client_id=agent.client_id,
        agent=agent,
        instance_id=instance.instance_id,
        kind=kind,
        is_drill=is_drill,
        pool_id=instance.pool_id,
        spot_price=prices.spot.get(instance.pool_id),
        detected_at=at,
        last_reported_at=at,
        deadline_at=deadline,
    )
    _announce(agent, instance, episode)
    return episode


def set_replica(episode: InterruptionEpisode, replica: Replica) -> None:
    episode.status, episode.response, episode.replica = Status.HANDLING, Response.CREATED_REPLICA, replica
    episode.save(update_fields=["status", "response", "replica"])


def set_response(episode: InterruptionEpisode, response: str) -> None:
    episode.response = response
    episode.save(update_fields=["response"])


def complete(episode: InterruptionEpisode, *, replica: Replica, at: datetime) -> None:
    """The workload is safe on its standby."""
    InterruptionEpisode.objects.filter(
        agent_id=episode.agent_id, instance_id=episode.instance_id, status__in=InterruptionEpisode.OPEN
    ).update(status=Status.RESOLVED, resolved_at=at)
    episode.status, episode.resolved_at, episode.promoted_at = Status.RESOLVED, at, at
    episode.response, episode.replica = Response.PROMOTED_REPLICA, replica
    episode.save(update_fields=["status", "resolved_at", "promoted_at", "response", "replica"])


def close_gone(*, agent: Agent, instance_id: str, at: datetime) -> None:
    """The machine is gone, so nothing more is to come of its signals; an intent that was left failed."""
    opened = InterruptionEpisode.objects.filter(
        agent=agent, instance_id=instance_id, status__in=InterruptionEpisode.OPEN
    )
    opened.filter(kind=Kind.REBALANCE).update(status=Status.RESOLVED, resolved_at=at)
    opened.update(status=Status.FAILED, resolved_at=at, error_message="The machine was gone before a standby ran")


def close_overdue(*, agent: Agent, at: datetime) -> None:
    """Recommendations that nothing came of, and notices that AWS did not carry out, or that others told the end of."""
    opened = InterruptionEpisode.objects.filter(agent=agent, status__in=InterruptionEpisode.OPEN)
    opened.filter(kind=Kind.REBALANCE, last_reported_at__lt=at - WINDOW).update(
        status=Status.RESOLVED, resolved_at=at, error_message="No interruption followed"
    )
    heard = agent.last_heartbeat_at
    for episode in opened.filter(kind=Kind.TERMINATION, deadline_at__lt=at - GRACE):
        if episode.instance_id == agent.instance_id and heard and heard > (episode.deadline_at or at) + GRACE:
            episode.status, episode.resolved_at = Status.RESOLVED, at
            episode.error_message = "The machine outlived its notice"
            episode.save(update_fields=["status", "resolved_at", "error_message"])
        elif _is_gone(agent, episode.instance_id):
            close_gone(agent=agent, instance_id=episode.instance_id, at=at)
    _unmark_agent(agent)


def _is_gone(agent: Agent, instance_id: str) -> bool:
    instances = Instance.objects.filter(client_id=agent.client_id, instance_id=instance_id)
    return instances.filter(status=Instance.Status.TERMINATED).exists()


def _mark_agent(agent: Agent, kind: str, at: datetime, deadline: datetime | None) -> None:
    """A recommendation never downgrades an open termination (3.14)."""
    Notice = Agent.Notice
    if kind == Kind.TERMINATION:
        agent.notice_status, agent.notice_deadline = Notice.TERMINATION, deadline
    elif agent.notice_status != Notice.TERMINATION:
        agent.notice_status = Notice.REBALANCE
    agent.notice_received_at = at
    if kind == Kind.REBALANCE:
        agent.last_rebalance_recommendation_at = at
    agent.save(
        update_fields=["notice_status", "notice_deadline", "notice_received_at", "last_rebalance_recommendation_at"]
    )


def _unmark_agent(agent: Agent) -> None:
    if agent.notice_status == Agent.Notice.NONE or any_open(agent=agent):
        return
    agent.notice_status, agent.notice_received_at, agent.notice_deadline = Agent.Notice.NONE, None, None
    agent.save(update_fields=["notice_status", "notice_received_at", "notice_deadline"])


def _announce(agent: Agent, instance: Instance, episode: InterruptionEpisode) -> None:
    is_termination = episode.kind == Kind.TERMINATION
    text = f"{instance.instance_id} ({instance.status}): {episode.kind}"
    if episode.deadline_at:
        text += f", it ends at {clock.isoformat(episode.deadline_at)}"
    if episode.is_drill:
        text = f"Drill: {text}"
    event_type = "termination_notice" if is_termination else "rebalance_recommendation"
    emit(
        event_type=event_type,
        severity="critical" if is_termination and not episode.is_drill else "warning",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        message=text,
        metadata={"episode_id": episode.public_id, "is_drill": episode.is_drill},
    )
    notify(
        client=agent.client,
        notification_type=event_type,
        severity="error" if is_termination and not episode.is_drill else "warning",
        message=text,
        agent_id=agent.public_id,
    )
