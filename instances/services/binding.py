"""A standby meets its machine: by the launcher's report, by its own registration, or by a v5 launch (agent-api 3.22).

Callers hold the agent's lock.
"""

from datetime import datetime

from agents.models import Agent
from instances.models import Instance, Replica
from instances.services import merging, roles

Status, Sync = Replica.Status, Replica.SyncStatus
FINAL = (Status.PROMOTED, Status.TERMINATED, Status.FAILED)
ORDER = [Status.LAUNCHING, Status.SYNCING, Status.READY]


def bind(*, agent: Agent, replica: Replica, instance_id: str, at: datetime) -> bool:
    """An EC2 instance was launched for this standby. False when that is a second one, which is then to go."""
    if replica.instance_id == instance_id:
        return True
    if replica.instance_id:
        _orphan(agent, instance_id, at)
        return False
    replica.instance_id = instance_id
    replica.launched_at = replica.launched_at or at
    replica.sync_started_at = replica.sync_started_at or at
    replica.claimed_by, replica.claimed_until = "", None
    if replica.status == Status.LAUNCHING:
        replica.status, replica.sync_status = Status.SYNCING, Sync.SYNCING
    if replica.status in FINAL:  # closed meanwhile: it is not revived, but somebody has to end it
        replica.termination_confirmed = False
        _orphan(agent, instance_id, at)
    else:
        attach(agent, replica, at)
    replica.save()
    return True


def bind_registered(*, agent: Agent, instance: Instance, at: datetime) -> None:
    """The binding PUT may have been lost; a registration proves the instance just as well (agent-api 9.1)."""
    if replica := fitting(agent, instance):
        bind(agent=agent, replica=replica, instance_id=instance.instance_id, at=at)


def bind_launched(*, agent: Agent, instance: Instance, at: datetime) -> None:
    """v5: the launch that was ordered for a standby runs, and v5 waits for nothing else."""
    replica = Replica.objects.unbound().filter(agent=agent, launch_command_id=instance.command_id).first()
    if replica is None or not instance.command_id:
        return
    bind(agent=agent, replica=replica, instance_id=instance.instance_id, at=at)
    advance(replica=replica, status=Status.READY, at=at)


def attach(agent: Agent, replica: Replica, at: datetime) -> Instance:
    """The instance row of a standby; merged with what its own agent registered before."""
    instance, is_new = Instance.objects.get_or_create(
        client_id=agent.client_id,
        instance_id=replica.instance_id,
        defaults={
            "agent": agent,
            "status": Instance.Status.LAUNCHING,
            "mode": "spot",
            "instance_type": replica.instance_type or agent.instance_type,
            "region": replica.region or agent.region,
            "az": replica.az,
            "pool_id": replica.pool_id,
            "launch_confirmed_at": at,
            "ledger_from": at,
            "created_at": at,
        },
    )
    if not is_new and instance.agent_id != agent.pk:
        merging.bring_under(agent=agent, instance=instance, at=at)
    if instance.status == Instance.Status.LAUNCHING:
        roles.attach_standby(agent=agent, instance=instance, at=at)
    return instance


def _orphan(agent: Agent, instance_id: str, at: datetime) -> None:
    """A machine nobody needs: known, billed, and on the termination list."""
    instance, _ = Instance.objects.get_or_create(
        client_id=agent.client_id,
        instance_id=instance_id,
        defaults={
            "agent": agent,
            "status": Instance.Status.LAUNCHING,
            "region": agent.region,
            "instance_type": agent.instance_type,
            "launch_confirmed_at": at,
            "ledger_from": at,
            "created_at": at,
        },
    )
    if instance.agent_id == agent.pk and not instance.is_primary and not instance.is_gone:
        roles.mark_terminating(instance=instance, at=at)


def advance(*, replica: Replica, status: str, at: datetime) -> None:
    """Forward only; what is closed stays closed and the report is acknowledged all the same (2.3)."""
    if replica.status in FINAL or ORDER.index(Status(status)) <= ORDER.index(Status(replica.status)):
        return
    replica.status = status
    if status == Status.READY:
        replica.ready_at, replica.sync_status, replica.last_sync_at = at, Sync.SYNCED, at
        replica.state_transfer_progress = 100
    else:
        replica.sync_status, replica.sync_started_at = Sync.SYNCING, replica.sync_started_at or at
    replica.save()


def fitting(agent: Agent, instance: Instance) -> Replica | None:
    wanted = Replica.objects.active().unbound().filter(agent=agent).order_by("id")
    fitting = (r for r in wanted if _fits(r.az, instance.az) and _fits(r.instance_type, instance.instance_type))
    return next(fitting, None)


def _fits(wanted: str, found: str) -> bool:
    return not wanted or not found or wanted == found
