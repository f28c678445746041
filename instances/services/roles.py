"""The one place where an instance's role changes (agent-api 2.2). Callers hold the agent's row lock.

Each function leaves instance, agent and usage intervals in agreement. A role is never given back: once an instance
is a zombie, terminating or terminated, it cannot become primary again.
"""

from datetime import datetime

from agents.models import Agent
from agents.services.commands import supersede_open
from instances.models import Instance
from instances.services import usage
from notifications.models import SystemEvent
from notifications.services import emit

Status = Instance.Status


def primary_of(agent: Agent) -> Instance | None:
    return Instance.objects.filter(agent=agent, status=Status.PRIMARY).first()


def make_primary(*, agent: Agent, instance: Instance, at: datetime, hold_old: bool = False) -> Instance | None:
    """Give the role to `instance`; the previous primary becomes a zombie and is returned.

    `hold_old` keeps it from being terminated before an operator has looked (agent-api R8).
    """
    if instance.is_gone:
        raise ValueError(f"{instance.instance_id} is {instance.status} and cannot become primary")
    old = primary_of(agent)
    if old and old.pk == instance.pk:
        point_agent_at(agent=agent, instance=instance)
        return None
    if old:
        if agent.is_silent(at=at):
            usage.close_silent(instance=old, heard_at=agent.last_heartbeat_at)
        old.termination_hold = hold_old
        old.last_seen_at = agent.last_heartbeat_at
        old.last_switch_at = at
        make_zombie(instance=old, at=at)
    instance.agent = agent
    instance.last_switch_at = at if old else instance.last_switch_at
    _save(instance, Status.PRIMARY, at, "agent", "last_switch_at")
    point_agent_at(agent=agent, instance=instance)
    if agent.notice_status != Agent.Notice.NONE:  # it was about the old host
        agent.notice_status, agent.notice_received_at, agent.notice_deadline = Agent.Notice.NONE, None, None
        agent.save(update_fields=["notice_status", "notice_received_at", "notice_deadline"])
    return old


def point_agent_at(*, agent: Agent, instance: Instance) -> None:
    """Copy the primary's facts to the agent's row, which is all that polls read."""
    facts = ("instance_id", "instance_type", "region", "az", "ami_id")
    for name in facts:
        setattr(agent, name, getattr(instance, name))
    agent.current_mode, agent.current_pool_id = instance.mode, instance.pool_id
    agent.save(update_fields=[*facts, "current_mode", "current_pool_id"])


def attach_standby(*, agent: Agent, instance: Instance, at: datetime) -> None:
    instance.agent = agent
    _save(instance, Status.REPLICA, at, "agent")


def make_zombie(*, instance: Instance, at: datetime) -> None:
    """Stopped serving, still running: it waits for its termination. Also where a "terminated" one calls us again."""
    instance.zombie_since = at
    instance.terminated_at = None
    instance.termination_confirmed = False
    _save(
        instance,
        Status.ZOMBIE,
        at,
        "zombie_since",
        "terminated_at",
        "termination_confirmed",
        "termination_hold",
        "last_seen_at",
        "last_switch_at",
    )


def mark_terminating(*, instance: Instance, at: datetime, deadline: datetime | None = None) -> None:
    instance.termination_requested_at = at
    instance.notice_deadline = deadline or instance.notice_deadline
    _save(instance, Status.TERMINATING, at, "termination_requested_at", "notice_deadline")


def mark_terminated(*, instance: Instance, at: datetime, reason: str, confirmed: bool = True) -> None:
    """Gone from EC2 at `at`, which may lie in the past. Repeating it changes nothing."""
    if instance.status == Status.TERMINATED and (instance.termination_confirmed or not confirmed):
        return
    if instance.status != Status.TERMINATED:
        instance.terminated_at, instance.termination_reason = at, reason[:255]
    instance.termination_confirmed = instance.termination_confirmed or confirmed
    fields = ("terminated_at", "termination_reason", "termination_confirmed")
    _save(instance, Status.TERMINATED, instance.terminated_at or at, *fields)
    # Nobody serves now; should the instance call after all, it is heard as the zombie it then is (agent-api 2.2).
    if instance.agent_id:
        Agent.objects.filter(pk=instance.agent_id, instance_id=instance.instance_id).update(instance_id="")


def retire_orders(*, agent: Agent, reason: str, except_pk: int | None = None) -> None:
    """After a role change no open order of the old primary makes sense any more."""
    supersede_open(agent=agent, reason=reason, except_pk=except_pk)


def learn_facts(
    *, instance: Instance, mode: str = "unknown", instance_type: str = "", az: str = "", may_correct: bool = False
) -> None:
    """Unknown facts become known; only a registration may correct known ones, as EC2 never changes them (1.7)."""
    told = {"mode": "" if mode == "unknown" else mode, "instance_type": instance_type, "az": az}
    news = {
        name: value
        for name, value in told.items()
        if value and value != getattr(instance, name) and (may_correct or getattr(instance, name) in ("", "unknown"))
    }
    if not news:
        return
    for name, value in news.items():
        setattr(instance, name, value)
    instance.pool_id = pool_of(mode=instance.mode, instance_type=instance.instance_type, az=instance.az)
    instance.save(update_fields=[*news, "pool_id"])
    usage.correct_mode(instance=instance)
    if instance.agent and instance.is_primary:
        point_agent_at(agent=instance.agent, instance=instance)


def pool_of(*, mode: str, instance_type: str, az: str) -> str:
    """Only a spot instance of known type and zone is in a pool."""
    return f"{instance_type}.{az}" if mode == "spot" and instance_type and az else ""


def _save(instance: Instance, status: Instance.Status, at: datetime, *fields: str) -> None:
    old, instance.status = instance.status, status
    instance.save(update_fields=["status", *fields])
    usage.track(instance=instance, at=at)
    if old != status:
        emit(
            event_type=SystemEvent.INSTANCE_STATE_CHANGED,
            client=instance.client,
            agent_id=instance.agent.public_id if instance.agent else "",
            instance_id=instance.instance_id,
            message=f"{instance.instance_id}: {old} → {status}",
            metadata={"old_status": old, "new_status": status},
        )
