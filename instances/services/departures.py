"""Agents that leave: a v5 process that stops, a post-mortem call, an uninstallation (agent-api 3.12, 3.32, 3.35)."""

from agents.attribution import Caller
from agents.models import Agent, Command
from agents.services.commands import conclude, lock_agent, withdraw
from clients.models import Client
from instances.errors import InstanceNotFound
from instances.models import Instance, Replica
from instances.services import roles, usage
from instances.services.heartbeats import go_offline, say_goodbye
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.errors import Conflict, Invalid

SWITCHED_OFF = (
    "enabled",
    "auto_switch_enabled",
    "auto_terminate_enabled",
    "replica_enabled",
    "manual_replica_enabled",
)


@retried_transaction
def record_shutdown(*, agent: Agent, caller: Caller) -> None:
    """The process ends, its host does not. What it was executing has no result, unless one still arrives."""
    say_goodbye(agent=agent, caller=caller, reason="the agent shut down")
    if not caller.instance_id:
        return
    running = Command.objects.filter(agent=agent, status=Command.Status.DELIVERED, delivered_to=caller.instance_id)
    for command in running.filter(command_type__in=Command.V5_TYPES).select_related("agent__client"):
        conclude(command=command, succeeded=False, message="The agent shut down while executing it", timed_out=True)


@retried_transaction
def record_termination(*, agent: Agent, caller: Caller, reason: str) -> None:
    """Somebody says that an instance is gone. Idempotent.

    Raises InstanceNotFound for one that is not this agent's, Invalid when nothing tells which one is meant.
    """
    agent = lock_agent(agent.pk)
    if caller.source == "unknown":
        raise Invalid("instance_id is required: several instances of this agent are alive")
    instance = Instance.objects.filter(agent=agent, instance_id=caller.instance_id).select_related("agent").first()
    if instance is None:
        raise InstanceNotFound
    if instance.status == Instance.Status.TERMINATED:
        return
    was_primary = instance.is_primary
    roles.mark_terminated(instance=instance, at=clock.now(), reason=reason)
    text = f"{instance.instance_id} was terminated: {reason}"
    emit(
        event_type="instance_terminated",
        severity="warning",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        message=text,
        metadata={"termination_duration_seconds": instance.termination_seconds},
    )
    if was_primary:
        go_offline(agent=agent, reason=reason)
        notify(
            client=agent.client,
            notification_type="instance_terminated",
            severity="warning",
            message=text,
            agent_id=agent.public_id,
        )


@retried_transaction
def record_uninstall(*, client: Client, instance_id: str, reason: str) -> Agent | None:
    """v4's uninstall script knows its instance only. An unknown one is nothing to do."""
    owned = Instance.objects.filter(client=client, instance_id=instance_id, status=Instance.Status.PRIMARY)
    instance = owned.exclude(agent=None).select_related("agent").first()
    if instance is None or instance.agent is None or instance.agent.is_deleted:
        return None
    agent = lock_agent(instance.agent.pk)
    delete_agent(agent=agent, reason=f"uninstalled: {reason}" if reason else "uninstalled")
    return agent


@retried_transaction
def remove_agent(*, agent: Agent, actor: str, only_idle: bool = False) -> None:
    """A person takes an agent away (dashboard-api 2.5). Again is nothing new.

    `only_idle` refuses, with a Conflict, an agent whose primary still runs.
    """
    agent = lock_agent(agent.pk)
    if only_idle and not agent.is_deleted and (primary := roles.primary_of(agent)):
        raise Conflict(f"The agent still has an active primary instance, {primary.instance_id}")
    delete_agent(agent=agent, reason=f"by {actor}", actor=actor)


def delete_agent(*, agent: Agent, reason: str, actor: str = "") -> None:
    """Take the agent away and keep its history. Its machines go on running. The caller holds the agent's lock.

    Standbys are retired; what still has to be terminated is listed until somebody confirms it (agent-api 4.10).
    """
    if agent.is_deleted:
        return
    now = clock.now()
    orders = Command.objects.open().filter(agent=agent)
    withdraw(agent=agent, orders=orders, reason="The agent was deleted", status=Command.Status.CANCELLED)
    standbys = Replica.objects.active().filter(agent=agent)
    standbys.unbound().update(termination_confirmed=True)
    standbys.update(status=Replica.Status.TERMINATED, terminated_at=now)
    for instance in Instance.objects.filter(agent=agent).alive():
        usage.stop_unheard(instance=instance, agent=agent, at=now)
    off = dict.fromkeys(SWITCHED_OFF, False) | {"replica_target": 0}
    for name, value in off.items():
        setattr(agent, name, value)
    old_status = agent.status
    agent.status, agent.deleted_at, agent.config_version = Agent.Status.DELETED, now, agent.config_version + 1
    agent.save(update_fields=["status", "deleted_at", "config_version", *off])
    text = f"Agent {agent.hostname or agent.logical_agent_id} was removed ({reason})"
    emit(
        event_type="agent_deleted",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=agent.instance_id,
        actor=actor,
        message=text,
        metadata={"old_status": old_status, "new_status": agent.status},
    )
    notify(client=agent.client, notification_type="agent_deleted", message=text, agent_id=agent.public_id)
