"""Interruption signals as episodes: one row however often an agent repeats itself (agent-api 2.6, 3.14, 3.17 a)."""

from datetime import datetime, timedelta

from agents.models import Agent
from agents.services.commands import lock_agent
from instances.errors import InstanceNotFound
from instances.models import Instance, InterruptionEpisode
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction

NOTICE = timedelta(seconds=120)  # AWS's notice, where the agent does not say when the machine ends
Kind, Status = InterruptionEpisode.Kind, InterruptionEpisode.Status


@retried_transaction
def record_termination_notice(*, agent: Agent, instance_id: str, deadline: datetime | None) -> InterruptionEpisode:
    """AWS takes the instance back at `deadline`. Told every few seconds until it is gone; only the first is news."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    instance = Instance.objects.filter(agent=agent, instance_id=instance_id).first()
    if instance is None:
        raise InstanceNotFound
    episode = InterruptionEpisode.objects.filter(
        agent=agent, instance_id=instance_id, kind=Kind.TERMINATION, status__in=InterruptionEpisode.OPEN
    ).first()
    if episode:
        episode.reports += 1
        episode.last_reported_at = now
        episode.save(update_fields=["reports", "last_reported_at"])
        return episode
    instance.notice_deadline = deadline or now + NOTICE
    instance.save(update_fields=["notice_deadline"])
    if instance.is_primary:
        agent.notice_status, agent.notice_received_at = Agent.Notice.TERMINATION, now
        agent.notice_deadline = instance.notice_deadline
        agent.save(update_fields=["notice_status", "notice_received_at", "notice_deadline"])
    return _open(agent, instance, now)


def close_episodes(*, agent: Agent, instance_id: str, at: datetime) -> None:
    """The machine is gone, so nothing more is to come of its signals."""
    opened = InterruptionEpisode.objects.filter(
        agent=agent, instance_id=instance_id, status__in=InterruptionEpisode.OPEN
    )
    opened.update(status=Status.RESOLVED, resolved_at=at)


def _open(agent: Agent, instance: Instance, now: datetime) -> InterruptionEpisode:
    episode = InterruptionEpisode.objects.create(
        client_id=agent.client_id,
        agent=agent,
        instance_id=instance.instance_id,
        kind=Kind.TERMINATION,
        pool_id=instance.pool_id,
        detected_at=now,
        last_reported_at=now,
        deadline_at=instance.notice_deadline,
    )
    text = f"AWS takes back {instance.instance_id} ({instance.status}) at {clock.isoformat(instance.notice_deadline)}"
    emit(
        event_type="termination_notice",
        severity="critical",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        message=text,
        metadata={"episode_id": episode.public_id},
    )
    notify(
        client=agent.client,
        notification_type="termination_notice",
        severity="error",
        message=text,
        agent_id=agent.public_id,
    )
    return episode
