"""Getting rid of instances that stopped serving, and believing that they are gone (agent-api 3.17, 3.27, 4.7).

v4 agents poll a list, v5 agents get TERMINATE_INSTANCE, v2 and v4-b can do neither. Nothing is called terminated
before somebody saw it, and nothing leaves the list before it was confirmed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q, QuerySet

from agents.attribution import Caller
from agents.models import Agent, Command
from agents.services.commands import enqueue, lock_agent
from instances.errors import InstanceNotFound
from instances.models import Instance, Replica
from instances.services import episodes, roles
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction

Status = Instance.Status
RETRY_AFTER = timedelta(minutes=5)
MAX_ATTEMPTS = 5
NOTICE_GRACE = timedelta(seconds=60)  # AWS may be late; after that a reclaimed instance counts as gone
SILENCE_MEANS_GONE = timedelta(minutes=10)
UNCONFIRMED_LAUNCH = timedelta(minutes=10)
Action = Callable[[Agent, Instance, datetime], bool]
PATIENCE = 4  # waits after which a predecessor goes even though its successor was never heard


@dataclass(frozen=True)
class Due:
    instance_id: str
    instance_type: str
    az: str
    reason: str  # zombie_timeout or replica_terminated
    seconds_waiting: int


def due_for(*, agent: Agent, caller: Caller) -> list[Due]:
    """What the calling v4 agent is to terminate now. It terminates whatever stands here, itself included.

    A deleted agent clears away its standbys, nothing else (agent-api 4.10).
    """
    now = clock.now()
    if agent.is_deleted:
        due = _due_replicas(agent, now)
    elif agent.auto_terminate_enabled:
        due = [_as_due(i, now) for i in _due_instances(agent, now)] + _due_replicas(agent, now)
    else:
        return []
    if not due:
        return []
    current = _current(agent)
    due = list({item.instance_id: item for item in due if item.instance_id != current}.values())
    if caller.is_primary_of(agent):
        return due
    return [item for item in due if item.instance_id == caller.instance_id]


def may_come_due(agent: Agent) -> bool:
    """False: nothing of the agent is waiting to be terminated, or will before the agent changes."""
    if agent.is_deleted:
        return True
    leaving = Instance.objects.filter(agent=agent, status__in=Instance.GONE, termination_confirmed=False)
    return agent.auto_terminate_enabled and (leaving.exists() or standbys_may_come_due(agent))


def standbys_may_come_due(agent: Agent) -> bool:
    return _closed(agent).exists()


def _closed(agent: Agent) -> QuerySet[Replica]:
    """Standbys that are over, but whose instances may still run."""
    over = [Replica.Status.TERMINATED, Replica.Status.FAILED]
    return Replica.objects.filter(agent=agent, status__in=over, termination_confirmed=False).exclude(instance_id="")


def _current(agent: Agent) -> str:
    """The primary is never on the list, unless its own termination was asked for."""
    is_serving = Instance.objects.filter(agent=agent, instance_id=agent.instance_id, status=Status.PRIMARY)
    return agent.instance_id if is_serving.exists() else ""


def _due_instances(agent: Agent, now: datetime) -> list[Instance]:
    instances = _unconfirmed(Instance.objects.filter(agent=agent), now)
    return [i for i in instances if _has_waited(agent, i, now)]


def _unconfirmed(instances: QuerySet[Instance], now: datetime) -> QuerySet[Instance]:
    """On their way out, not held, and not just tried. An EC2 id is needed: a launch without one never ran."""
    leaving = Q(status=Status.ZOMBIE) | Q(status=Status.TERMINATING, notice_deadline=None) | Q(status=Status.TERMINATED)
    return instances.filter(
        leaving,
        Q(termination_attempted_at=None) | Q(termination_attempted_at__lt=now - RETRY_AFTER),
        termination_confirmed=False,
        termination_hold=False,
        termination_attempts__lt=MAX_ATTEMPTS,
    ).exclude(instance_id__startswith="i-pending-")


def _has_waited(agent: Agent, instance: Instance, now: datetime) -> bool:
    """A zombie waits terminate_wait_seconds, and for its successor to be heard (agent-api 3.27 rules 2 and 6).

    Without any successor it stays: it may be all that is left of the workload.
    """
    if instance.status != Status.ZOMBIE or instance.zombie_since is None:
        return True
    if not agent.instance_id:
        return False
    wait, waited = timedelta(seconds=agent.terminate_wait_seconds), now - instance.zombie_since
    heard = agent.last_heartbeat_at is not None and agent.last_heartbeat_at >= instance.zombie_since
    return waited >= wait and (heard or waited >= PATIENCE * max(wait, timedelta(minutes=1)))


def _as_due(instance: Instance, now: datetime) -> Due:
    since = instance.zombie_since or instance.termination_requested_at or now
    reason = "zombie_timeout" if instance.status == Status.ZOMBIE else "replica_terminated"
    waited = int((now - since).total_seconds())
    return Due(instance.instance_id, instance.instance_type, instance.az, reason, waited)


def _due_replicas(agent: Agent, now: datetime) -> list[Due]:
    closed = _closed(agent).filter(
        Q(termination_attempted_at=None) | Q(termination_attempted_at__lt=now - RETRY_AFTER),
        termination_attempts__lt=MAX_ATTEMPTS,
    )
    return [
        Due(
            r.instance_id,
            r.instance_type,
            r.az,
            "replica_terminated",
            int((now - r.terminated_at).total_seconds()),
        )
        for r in closed
        if r.terminated_at
    ]


@retried_transaction
def record_outcome(
    *, agent: Agent, instance_id: str, succeeded: bool, error: str = "", terminated_at: datetime | None = None
) -> str:
    """An agent terminated something, or could not (agent-api 3.17 b, c). Returns the instance's status.

    Raises InstanceNotFound for an instance that is not this agent's: nobody ends another's machine by a message.
    """
    agent = lock_agent(agent.pk)
    now = clock.now()
    instance = Instance.objects.filter(agent=agent, instance_id=instance_id).select_related("agent").first()
    if instance is None:
        raise InstanceNotFound
    if instance.is_primary:
        return _doubt(agent, instance, now)
    if not succeeded:
        note_failed_attempt(agent=agent, instance=instance, error=error)
        return instance.status
    if not instance.termination_confirmed:
        roles.mark_terminated(instance=instance, at=terminated_at or now, reason="terminated by its agent")
        _confirm_replica(agent, instance_id, now)
        _tell_terminated(agent, instance)
    return instance.status


@retried_transaction
def record_terminated(*, agent: Agent, instance_id: str) -> Instance:
    """v5's instance-terminated (agent-api 3.34): EC2 itself confirmed it, so a primary is believed gone, too."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    instance = Instance.objects.filter(agent=agent, instance_id=instance_id).select_related("agent").first()
    if instance is None:
        raise InstanceNotFound
    if not instance.termination_confirmed:
        roles.mark_terminated(instance=instance, at=now, reason="terminated by its agent")
        _confirm_replica(agent, instance_id, now)
        _tell_terminated(agent, instance)
    return instance


def note_failed_attempt(*, agent: Agent, instance: Instance, error: str) -> None:
    """Tried again after RETRY_AFTER, at most MAX_ATTEMPTS times; then a person has to look."""
    instance.termination_attempted_at = clock.now()
    instance.termination_attempts += 1
    instance.save(update_fields=["termination_attempted_at", "termination_attempts"])
    replicas = Replica.objects.filter(agent=agent, instance_id=instance.instance_id)
    replicas.update(
        termination_attempted_at=instance.termination_attempted_at,
        termination_attempts=F("termination_attempts") + 1,
    )
    gave_up = instance.termination_attempts >= MAX_ATTEMPTS
    text = f"Termination of {instance.instance_id} failed: {error or 'no reason given'}"
    emit(
        event_type="instance_termination_failed",
        severity="error" if gave_up else "warning",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        message=text,
        metadata={"attempts": instance.termination_attempts},
    )
    notify(
        client=agent.client,
        notification_type="instance_termination_failed",
        severity="error" if gave_up else "warning",
        message=text + (f". Given up after {MAX_ATTEMPTS} attempts; please terminate it in EC2" if gave_up else ""),
        agent_id=agent.public_id,
    )


def _doubt(agent: Agent, instance: Instance, now: datetime) -> str:
    """The current primary is said to be gone: not believed blindly (agent-api 3.17), but a person is told."""
    roles.mark_terminating(instance=instance, at=now)
    notify(
        client=agent.client,
        notification_type="primary_terminating",
        severity="error",
        message=f"{instance.instance_id}, the primary of {agent.logical_agent_id}, was reported as terminated",
        agent_id=agent.public_id,
    )
    return instance.status


def _confirm_replica(agent: Agent, instance_id: str, now: datetime) -> None:
    """A promoted replica stays promoted; every other one of that EC2 instance is closed and confirmed."""
    replicas = Replica.objects.filter(agent=agent, instance_id=instance_id).exclude(status=Replica.Status.PROMOTED)
    replicas.filter(terminated_at=None).update(terminated_at=now)
    replicas.exclude(status=Replica.Status.FAILED).update(status=Replica.Status.TERMINATED)
    replicas.update(termination_confirmed=True)


def _tell_terminated(agent: Agent, instance: Instance) -> None:
    text = f"{instance.instance_id} is terminated"
    emit(
        event_type="instance_terminated",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        message=text,
        metadata={"termination_duration_seconds": instance.termination_seconds},
    )
    notify(client=agent.client, notification_type="instance_terminated", message=text, agent_id=agent.public_id)


def sweep(*, now: datetime | None = None) -> dict[str, int]:
    """What time alone decides; each step takes the agent's lock and looks again before it acts."""
    now = now or clock.now()
    overdue = Instance.objects.filter(notice_deadline__lt=now - NOTICE_GRACE).alive()
    silent = Instance.objects.filter(
        Q(last_seen_at__lt=now - SILENCE_MEANS_GONE),
        status=Status.TERMINATING,
        notice_deadline=None,
        termination_requested_at__lt=now - SILENCE_MEANS_GONE,
    )
    launching = Instance.objects.filter(status=Status.LAUNCHING, created_at__lt=now - UNCONFIRMED_LAUNCH)
    leaving = Instance.objects.filter(agent__protocol=Agent.Protocol.V5, agent__auto_terminate_enabled=True)
    return {
        "reclaimed": _each(overdue, _close_reclaimed, now),
        "vanished": _each(silent, _close_silent, now),
        "launches given up": _each(launching, _give_up_launch, now),
        "terminations ordered": _each(_unconfirmed(leaving, now).exclude(status=Status.TERMINATED), _order_v5, now),
    }


def _each(instances: QuerySet[Instance], act: Action, now: datetime, *, batch: int = 500) -> int:
    rows = instances.exclude(agent=None).order_by("pk").values_list("pk", "agent_id")[:batch]
    return sum(_under_lock(pk, agent_pk, act, now) for pk, agent_pk in list(rows))


@retried_transaction
def _under_lock(pk: int, agent_pk: int, act: Action, now: datetime) -> bool:
    agent = lock_agent(agent_pk)
    instance = Instance.objects.select_related("agent").get(pk=pk)
    instance.agent = agent
    return act(agent, instance, now)


def _close_reclaimed(agent: Agent, instance: Instance, now: datetime) -> bool:
    deadline = instance.notice_deadline
    if deadline is None or instance.status == Status.TERMINATED:
        return False
    heard = agent.last_heartbeat_at if agent.instance_id == instance.instance_id else instance.last_seen_at
    if heard and heard > deadline + NOTICE_GRACE:  # the notice was not carried out
        instance.notice_deadline = None
        instance.save(update_fields=["notice_deadline"])
        return False
    roles.mark_terminated(instance=instance, at=deadline, reason="reclaimed by AWS")
    episodes.close_gone(agent=agent, instance_id=instance.instance_id, at=now)
    return True


def _close_silent(agent: Agent, instance: Instance, now: datetime) -> bool:
    """Told to end its own host, an agent cannot confirm it: ten minutes of silence do (agent-api 3.34)."""
    if instance.status != Status.TERMINATING or instance.last_seen_at is None:
        return False
    ended = instance.last_seen_at + timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
    roles.mark_terminated(instance=instance, at=ended, reason="silent after its termination", confirmed=False)
    return True


def _give_up_launch(agent: Agent, instance: Instance, now: datetime) -> bool:
    """No EC2 id: nothing is known to run. With one, but never seen running: it is terminated like a zombie."""
    if instance.status != Status.LAUNCHING:
        return False
    if Command.objects.open().filter(public_id=instance.command_id).exists():
        return False
    if instance.instance_id.startswith("i-pending-"):
        roles.mark_terminated(instance=instance, at=now, reason="the launch was never confirmed", confirmed=False)
    else:
        roles.make_zombie(instance=instance, at=now)
    return True


def _order_v5(agent: Agent, instance: Instance, now: datetime) -> bool:
    if instance.is_primary or not _has_waited(agent, instance, now):
        return False
    ordered = Command.objects.open().filter(agent=agent, command_type=Command.Type.TERMINATE_INSTANCE)
    if ordered.filter(params__instance_id=instance.instance_id).exists():
        return False
    command = order_termination(agent=agent, instance=instance, created_by="system", reason="zombie")
    emit(
        event_type="instance_termination_requested",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        message=f"Termination of {instance.instance_id} ordered: it was replaced",
        metadata={"command_id": command.public_id},
    )
    return True


def order_termination(*, agent: Agent, instance: Instance, created_by: str, reason: str) -> Command:
    """TERMINATE_INSTANCE for a v5 agent; the target stands in `params`, its top-level id is not read (3.8)."""
    return enqueue(
        agent=agent,
        command_type=Command.Type.TERMINATE_INSTANCE,
        purpose=Command.Purpose.TERMINATE,
        priority=Command.Priority.EMERGENCY,
        params={"instance_id": instance.instance_id},
        created_by=created_by,
        reason=reason,
    )
