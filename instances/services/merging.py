"""One workload, two agent rows: an instance without a configured logical id registered before we knew whose it is."""

from datetime import datetime

from agents.models import Agent
from agents.services.commands import lock_agent, supersede_open
from agents.services.status import announce
from instances.models import Instance
from instances.services import usage

Status = Instance.Status


def bring_under(*, agent: Agent, instance: Instance, at: datetime) -> None:
    """Move an instance of another agent of the same client to `agent`, whose lock is held (agent-api R9, R12).

    The instance loses its role there and is given one by the caller, unless it is already on its way out.
    """
    owner = lock_agent(instance.agent_id) if instance.agent_id else None
    was_primary = instance.is_primary
    instance.agent = agent
    if not instance.is_gone:
        instance.status = Status.LAUNCHING  # frees the place of the owner's primary
    instance.save(update_fields=["agent", "status"])
    usage.track(instance=instance, at=at)
    if owner is None or owner.is_deleted or not was_primary:
        return
    if owner.logical_agent_id == instance.instance_id:
        _merge(owner, into=agent, at=at)
    else:
        _leave_without_instance(owner, at)


def _merge(owner: Agent, *, into: Agent, at: datetime) -> None:
    """`owner` was only this instance: its id goes on answering, as `into` (agent-api 9.6)."""
    supersede_open(agent=owner, reason="The agent was recognised as another one")
    owner.merged_into, owner.status, owner.deleted_at = into, Agent.Status.DELETED, at
    owner.save(update_fields=["merged_into", "status", "deleted_at"])
    Agent.objects.filter(merged_into=owner).update(merged_into=into)
    if owner.last_heartbeat_at and (into.last_heartbeat_at is None or owner.last_heartbeat_at > into.last_heartbeat_at):
        into.last_heartbeat_at = owner.last_heartbeat_at
        into.save(update_fields=["last_heartbeat_at"])


def _leave_without_instance(owner: Agent, at: datetime) -> None:
    supersede_open(agent=owner, reason="Its instance registered as another agent")
    if owner.status != Agent.Status.OFFLINE:
        announce(
            agent=owner,
            old_status=owner.status,
            new_status=Agent.Status.OFFLINE,
            reason="its instance registered under another logical id",
        )
    owner.status = Agent.Status.OFFLINE
    owner.save(update_fields=["status"])
