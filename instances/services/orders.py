"""What a person or a script orders: move a workload, launch an instance, terminate one.

dashboard-api 2.6, agent-api 1.10, 3.30, 4.4, 4.9. An order that its agent's generation can never fetch or execute is
refused instead of waiting for ever.
"""

from dataclasses import dataclass
from typing import Any

from agents.errors import AgentDisabled, UnsupportedByAgent
from agents.models import Agent, Command
from agents.services.commands import enqueue, lock_agent, withdraw
from agents.services.protocol import executes_switches
from instances.errors import AgentUnavailable, AutoSwitchDisabled, InstanceNotFound, NoSuitablePool, PoolNotFound
from instances.models import Instance, Pool
from instances.services import episodes, launches, roles, terminations
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.errors import Conflict, Invalid
from spotopt.common.fields import DecisionMode, Mode, split_pool_id

Status, Purpose, Type, Protocol = Instance.Status, Command.Purpose, Command.Type, Agent.Protocol
AUTOMATIC = "model"  # `created_by` of what the engine orders
OVERRULED = "A person ordered another move"


@dataclass(frozen=True)
class Target:
    """Where a workload shall go. `pool_id` is empty for on-demand, and for "the cheapest other pool"."""

    mode: str
    pool_id: str = ""
    instance_type: str = ""  # empty: as it is


@dataclass(frozen=True)
class Termination:
    status: str
    command: Command | None  # null: a v4 agent fetches its list instead, or there was nothing left to do


@retried_transaction
def force_switch(*, instance: Instance, target: Target, actor: str, auto_terminate: bool | None = None) -> Command:
    """Order a move now, whatever auto-switch and the limits say (agent-api 4.4)."""
    agent, instance = locked(instance)
    if not instance.is_primary:
        raise Conflict(
            f"{instance.instance_id} is {instance.get_status_display().lower()}, not the primary of its agent"
        )
    _require_available(agent)
    if not executes_switches(agent):
        raise UnsupportedByAgent("This agent does not fetch orders, so it cannot move its workload")
    target = _resolved(agent, target)
    _require_change(agent, target)
    drop_undelivered_automatic(agent=agent, reason=OVERRULED)
    if agent.protocol == Protocol.V5:
        command = _order_v5_switch(agent, target, "manual", f"by {actor}")
    else:
        command = _order_v4_switch(
            agent, target, "manual", f"by {actor}", priority=Command.Priority.MANUAL, auto_terminate=auto_terminate
        )
    text = f"Move of {agent.logical_agent_id} to {target.pool_id or target.mode} ordered"
    _tell(agent, instance, "manual_switch_requested", text, actor=actor, command=command)
    return command


@retried_transaction
def automatic_switch(
    *, agent_pk: int, seen_instance_id: str, target: Target, reason: str, metadata: dict[str, Any]
) -> Command:
    """Order a move that the engine decided on, unless anything it rested on has changed (agent-api 4.3).

    Raises AutoSwitchDisabled, AgentUnavailable, Conflict, UnsupportedByAgent, PoolNotFound, or SwitchPending.
    """
    agent = _locked_where_seen(agent_pk, seen_instance_id)
    _require_mode(agent, DecisionMode.AUTO)
    return _order_unattended(agent, target, reason=reason, priority=Command.Priority.NORMAL, metadata=metadata)


@retried_transaction
def approved_switch(
    *, agent_pk: int, seen_instance_id: str, target: Target, reason: str, metadata: dict[str, Any]
) -> Command:
    """The same for a decision that a person confirmed. It stays the engine's: a person's own order overrules it."""
    agent = _locked_where_seen(agent_pk, seen_instance_id)
    _require_mode(agent, DecisionMode.APPROVE)
    return _order_unattended(agent, target, reason=reason, priority=Command.Priority.NORMAL, metadata=metadata)


def _locked_where_seen(agent_pk: int, seen_instance_id: str) -> Agent:
    agent = lock_agent(agent_pk)
    if agent.status != Agent.Status.ONLINE or agent.instance_id != seen_instance_id:
        raise Conflict("The workload moved, or went away, since it was looked at")
    return agent


def _require_mode(agent: Agent, mode: DecisionMode) -> None:
    """With auto-switch off the mode is `recommend`, which agents and scripts know under its older name."""
    if not agent.auto_switch_enabled:
        raise AutoSwitchDisabled("Auto-switch is off", extra={"auto_switch_enabled": False})
    if agent.acting_mode != mode:
        raise AutoSwitchDisabled(f"The agent's decision mode is {agent.acting_mode}", code="DECISION_MODE")


@dataclass(frozen=True)
class Issued:
    command: Command | None  # None: the workload is there already
    is_duplicate: bool = False


@retried_transaction
def issue_switch(*, agent: Agent, target: Target, reason: str, priority: int) -> Issued:
    """Order what somebody else's engine decided (agent-api 3.30): not past auto-switch, as a person's order goes.

    Raises AgentDisabled, AutoSwitchDisabled, Invalid for a pool that is unknown or out of reach, Conflict,
    UnsupportedByAgent, or SwitchPending.
    """
    agent = lock_agent(agent.pk)
    if not agent.enabled:
        raise AgentDisabled("The agent is disabled")
    if target.mode == Mode.SPOT and not Pool.objects.filter(pool_id=target.pool_id).exists():
        raise Invalid(f"There is no pool {target.pool_id}", details={"target_pool_id": ["unknown pool"]})
    if (target.mode, target.pool_id) == (agent.current_mode, agent.current_pool_id):
        return Issued(None)
    outstanding = Command.objects.open().filter(agent=agent, purpose=Purpose.SWITCH)
    same = outstanding.filter(target_mode=target.mode, target_pool_id=target.pool_id).first()
    if same:
        return Issued(same, is_duplicate=True)
    _require_available(agent)
    _require_mode(agent, DecisionMode.AUTO)
    return Issued(_order_unattended(agent, target, reason=reason, priority=priority, metadata={}))


def _order_unattended(agent: Agent, target: Target, *, reason: str, priority: int, metadata: dict[str, Any]) -> Command:
    """No person chose it. The caller holds the agent's lock, and has looked at its mode."""
    _require_available(agent)
    if episodes.any_open(agent=agent):
        raise Conflict("An interruption is being handled")
    if not executes_switches(agent):
        raise UnsupportedByAgent("This agent does not fetch orders, so it cannot move its workload")
    target = _resolved(agent, target)
    _require_change(agent, target)
    if agent.protocol == Protocol.V5:
        command = _order_v5_switch(agent, target, AUTOMATIC, reason)
    else:
        command = _order_v4_switch(agent, target, AUTOMATIC, reason, priority=priority)
    if metadata:
        command.metadata = command.metadata | metadata
        command.save(update_fields=["metadata"])
    text = f"Automatic move of {agent.logical_agent_id} to {target.pool_id or target.mode}: {reason}"
    emit(
        event_type="automatic_switch_issued",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=agent.instance_id,
        message=text,
        metadata={"command_id": command.public_id} | metadata,
    )
    notify(client=agent.client, notification_type="automatic_switch_issued", message=text, agent_id=agent.public_id)
    return command


@retried_transaction
def launch(*, agent: Agent, target: Target, az: str, role: str, actor: str) -> Command:
    """Order a new instance from a v5 agent; the temporary id stands in the command's metadata."""
    agent = lock_agent(agent.pk)
    _require_available(agent)
    if agent.protocol != Protocol.V5:
        raise UnsupportedByAgent("Only agents of generation 5 launch instances on order")
    if target.pool_id and not Pool.objects.filter(pool_id=target.pool_id).exists():
        raise Invalid(f"There is no pool {target.pool_id}", details={"target_pool_id": ["unknown pool"]})
    type_of_pool, az_of_pool = split_pool_id(target.pool_id)
    spec = launches.LaunchSpec(
        instance_type=type_of_pool or target.instance_type or agent.instance_type,
        az=az_of_pool or az or agent.az,
        mode=target.mode,
        role=role,
    )
    _require_own_zone(agent, spec.az)
    if role == "primary":
        drop_undelivered_automatic(agent=agent, reason=OVERRULED)
    purpose = Purpose.SWITCH if role == "primary" else Purpose.REPLICA
    return launches.request_launch(agent=agent, spec=spec, purpose=purpose, created_by="manual", reason=f"by {actor}")


@retried_transaction
def terminate(*, instance: Instance, actor: str) -> Termination:
    """Order the end of an instance. Nothing is marked when no agent could carry it out."""
    agent, instance = locked(instance)
    if instance.status in (Status.TERMINATING, Status.TERMINATED):
        return Termination(instance.status, None)
    if instance.status == Status.LAUNCHING:
        return _cancel_launch(agent, instance)
    _require_available(agent)
    if agent.protocol not in (Protocol.V4, Protocol.V5):
        raise UnsupportedByAgent("This agent cannot terminate instances; please do it in EC2")
    if agent.protocol == Protocol.V4 and not agent.auto_terminate_enabled:
        raise Conflict("The agent ignores terminations while its auto-terminate setting is off")
    was_primary = instance.is_primary
    roles.mark_terminating(instance=instance, at=clock.now())
    command = None
    if agent.protocol == Protocol.V5:
        command = terminations.order_termination(
            agent=agent, instance=instance, created_by="manual", reason=f"by {actor}"
        )
    text = f"Termination of {instance.instance_id} ordered"
    if was_primary:
        text += f". It is the primary of {agent.logical_agent_id}: its workload ends with it"
    _tell(agent, instance, "instance_termination_requested", text, actor=actor, command=command)
    return Termination(instance.status, command)


def locked(instance: Instance) -> tuple[Agent, Instance]:
    """The agent under its lock, and the instance as it is now."""
    if instance.agent_id is None:
        raise Conflict(f"{instance.instance_id} belongs to no agent")
    agent = lock_agent(instance.agent_id)
    fresh = Instance.objects.filter(pk=instance.pk, agent=agent).first()
    if fresh is None:
        raise InstanceNotFound
    fresh.agent = agent
    return agent, fresh


def _require_available(agent: Agent) -> None:
    if agent.is_deleted:
        raise AgentUnavailable("The agent was deleted")
    if not agent.enabled:
        raise AgentUnavailable("The agent is disabled")
    if agent.status == Agent.Status.OFFLINE:
        raise AgentUnavailable("The agent is offline")


def _resolved(agent: Agent, target: Target) -> Target:
    """With the pool filled in for spot; refuses what the agent cannot reach (agent-api 1.10)."""
    wanted_type = target.instance_type or agent.instance_type
    if target.instance_type and target.instance_type != agent.instance_type and agent.protocol != Protocol.V5:
        raise UnsupportedByAgent("This agent always launches its own instance type")
    if target.mode == Mode.ONDEMAND:
        return Target(Mode.ONDEMAND, instance_type=wanted_type)
    if not target.pool_id:
        return Target(Mode.SPOT, _cheapest_other_pool(agent, wanted_type), wanted_type)
    pool = Pool.objects.filter(pool_id=target.pool_id).first()
    if pool is None:
        raise PoolNotFound(target.pool_id)
    if wanted_type and pool.instance_type != wanted_type:
        message = f"Pool {pool.pool_id} is not of type {wanted_type}"
        raise Invalid(message, details={"pool_id": [message]})
    if agent.region and pool.region != agent.region:
        message = f"Pool {pool.pool_id} is not in {agent.region}"
        raise Invalid(message, details={"pool_id": [message]})
    if agent.protocol == Protocol.V5:
        _require_own_zone(agent, pool.az)
    return Target(Mode.SPOT, pool.pool_id, pool.instance_type)


def _cheapest_other_pool(agent: Agent, instance_type: str) -> str:
    pools = Pool.objects.filter(instance_type=instance_type, region=agent.region, is_active=True, price__gt=0)
    if agent.protocol == Protocol.V5:
        pools = pools.filter(az=agent.az)
    pool = pools.exclude(pool_id=agent.current_pool_id).order_by("price", "id").first()
    if pool is None:
        raise NoSuitablePool(f"No other spot pool with a known price for {instance_type or 'this instance type'}")
    return pool.pool_id


def _require_own_zone(agent: Agent, az: str) -> None:
    if not az:
        raise Invalid("The agent's availability zone is not known yet")
    if agent.az and az != agent.az:
        raise UnsupportedByAgent(f"This agent launches in its own zone {agent.az} only")


def _require_change(agent: Agent, target: Target) -> None:
    same_place = target.mode == agent.current_mode and target.pool_id == agent.current_pool_id
    if same_place and target.instance_type in ("", agent.instance_type):
        raise Conflict(f"The workload runs in {agent.current_pool_id or agent.current_mode} already")


def drop_undelivered_automatic(*, agent: Agent, reason: str) -> None:
    """An automatic move that nobody fetched yet yields to a person's will (agent-api 4.4). Under the agent's lock."""
    waiting = Command.objects.filter(agent=agent, purpose=Purpose.SWITCH, status=Command.Status.PENDING)
    automatic = waiting.filter(created_by__in=["model", "system"])
    withdraw(agent=agent, orders=automatic, reason=reason)


def _order_v4_switch(
    agent: Agent, target: Target, created_by: str, reason: str, *, priority: int, auto_terminate: bool | None = None
) -> Command:
    terminates = agent.auto_terminate_enabled if auto_terminate is None else auto_terminate
    return enqueue(
        agent=agent,
        command_type=Type.SWITCH,
        purpose=Purpose.SWITCH,
        priority=priority,
        instance_id=agent.instance_id,
        target_mode=target.mode,
        target_pool_id=target.pool_id,
        terminate_wait_seconds=agent.terminate_wait_seconds if terminates else 0,
        created_by=created_by,
        reason=reason[:255],
    )


def _order_v5_switch(agent: Agent, target: Target, created_by: str, reason: str) -> Command:
    """v5 launches the successor; the old instance is terminated by its own order later, or stays (agent-api 4.9)."""
    spec = launches.LaunchSpec(
        instance_type=target.instance_type or agent.instance_type,
        az=split_pool_id(target.pool_id)[1] or agent.az,
        mode=target.mode,
        role="primary",
    )
    _require_own_zone(agent, spec.az)
    return launches.request_launch(
        agent=agent, spec=spec, purpose=Purpose.SWITCH, created_by=created_by, reason=reason[:255]
    )


def _cancel_launch(agent: Agent, instance: Instance) -> Termination:
    """Only a launch that no agent has fetched can be taken back."""
    orders = Command.objects.filter(agent=agent, public_id=instance.command_id, status=Command.Status.PENDING)
    command = orders.first()
    if command is None:
        raise Conflict(f"{instance.instance_id} is being launched; terminate it once it runs")
    withdraw(agent=agent, orders=orders, reason="The launch was cancelled", status=Command.Status.CANCELLED)
    roles.mark_terminated(instance=instance, at=clock.now(), reason="the launch was cancelled")
    return Termination(instance.status, command)


def _tell(agent: Agent, instance: Instance, event_type: str, text: str, *, actor: str, command: Command | None) -> None:
    emit(
        event_type=event_type,
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        actor=actor,
        message=text,
        metadata={"command_id": command.public_id} if command else {},
    )
    notify(
        client=agent.client,
        notification_type=event_type,
        severity="warning",
        message=text,
        agent_id=agent.public_id,
    )
