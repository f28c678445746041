"""Standbys: asked for, launched by the agent, bound to an EC2 instance, ready, and away again (agent-api 3.20–3.26).

A request is *unbound* until an EC2 id is known for it. Status only moves forward; a closed standby whose machine may
run stays unconfirmed, and so on a termination list, until somebody saw the end. Callers hold the agent's lock.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from agents.attribution import Caller
from agents.models import Agent, Command
from agents.services.commands import withdraw
from instances.models import Instance, Replica
from instances.services import launches, roles, terminations
from instances.services.binding import FINAL, ORDER, bind, fitting
from instances.services.launch_failures import retry_after
from instances.services.placement import Wish, choose
from notifications.services import emit, notify

Status, Type = Replica.Status, Replica.Type
CLAIM = timedelta(seconds=90)  # in which an agent that was told to launch is not told again
CLAIM_IN_EMERGENCY = timedelta(seconds=45)
LAUNCHERS = (Agent.Protocol.V4, Agent.Protocol.V5)  # v2 and v4-b cannot launch anything (agent-api 1.10)


# --- Asking for one -------------------------------------------------------------------------------------------------


def active_of(agent: Agent) -> list[Replica]:
    """Bound before unbound, further before less far, then older: the order in which one is taken over."""
    replicas = list(Replica.objects.active().filter(agent=agent).order_by("id"))
    return sorted(replicas, key=lambda r: (not r.instance_id, -ORDER.index(Status(r.status))))


def request(
    *, agent: Agent, replica_type: str, wish: Wish, at: datetime, created_by: str = "system", **signal: Any
) -> Replica | None:
    """An unbound standby in the best pool, or None when there is no pool. v4 picks it up, v5 gets an order."""
    placement = choose(agent=agent, wish=wish, at=at)
    if placement.pool is None:
        return None
    pool = placement.pool
    replica = Replica.objects.create(
        client_id=agent.client_id,
        agent=agent,
        parent_instance_id=agent.instance_id,
        replica_type=replica_type,
        pool_id=pool.pool_id,
        instance_type=pool.instance_type,
        region=pool.region,
        az=pool.az,
        hourly_cost=pool.price,
        placement=placement.record,
        created_by=created_by,
        created_at=at,
        **signal,
    )
    if agent.protocol == Agent.Protocol.V5:
        _order_launch(agent, replica)
    return replica


def _order_launch(agent: Agent, replica: Replica) -> None:
    """In the pool that takes the primary there is no room for its standby either: then on-demand (design 2.6)."""
    endangered = replica.replica_type == Type.TERMINATION and replica.pool_id == agent.current_pool_id
    spec = launches.LaunchSpec(
        instance_type=replica.instance_type,
        az=replica.az,
        mode="ondemand" if endangered else "spot",
        role="replica",
    )
    command = launches.request_launch(
        agent=agent, spec=spec, purpose=Command.Purpose.REPLICA, created_by="system", reason=replica.replica_type
    )
    replica.claimed_by, replica.launch_command_id = agent.instance_id, command.public_id
    if endangered:
        replica.pool_id, replica.hourly_cost = "", None
        replica.placement = replica.placement | {"note": "On-demand: the primary's own pool is the endangered one"}
    replica.save(update_fields=["claimed_by", "launch_command_id", "pool_id", "hourly_cost", "placement"])


def expects(*, agent: Agent, instance: Instance) -> bool:
    """R6: a standby that fits was asked for, or v4 was just told to launch one."""
    ordered = Command.objects.filter(
        agent=agent, command_type=Command.Type.CREATE_REPLICA, status=Command.Status.DELIVERED
    )
    return fitting(agent, instance) is not None or ordered.exists()


def claim_launchable(*, agent: Agent, caller: Caller, at: datetime) -> list[Replica]:
    """`status=launching`, as the agent reads it: "launch these now". Each is handed out once per claim (3.20)."""
    waiting = list(
        Replica.objects.unbound()
        .filter(Q(claimed_until=None) | Q(claimed_until__lte=at), agent=agent, status=Status.LAUNCHING)
        .order_by("id")
    )
    if caller.source == "cookie":  # real agents always have one; somebody who only looks claims nothing
        in_emergency = agent.notice_status == Agent.Notice.TERMINATION
        until = at + (CLAIM_IN_EMERGENCY if in_emergency else CLAIM)
        Replica.objects.filter(pk__in=[r.pk for r in waiting]).update(
            claimed_by=caller.instance_id or agent.instance_id, claimed_until=until
        )
    return waiting


# --- It exists ------------------------------------------------------------------------------------------------------


def record_launched(
    *,
    agent: Agent,
    instance_id: str,
    replica_type: str,
    pool_id: str,
    parent_instance_id: str,
    at: datetime,
    **place: str,
) -> tuple[Replica, bool]:
    """v4 launched one on a `create_replica` order: a fact, never refused, or the machine would run for ever (3.21).

    Returns the standby and whether it is new. One too many is accepted and closed at once.
    """
    known = Replica.objects.filter(agent=agent, instance_id=instance_id).order_by("-id").first()
    if known:
        return known, False
    unwanted = Replica.objects.active().filter(agent=agent).exclude(instance_id="").exists()
    replica = Replica(
        client_id=agent.client_id,
        agent=agent,
        replica_type=replica_type,
        parent_instance_id=parent_instance_id or agent.instance_id,
        pool_id=pool_id,
        created_at=at,
        **place,
    )
    if unwanted:
        replica.status, replica.terminated_at = Status.TERMINATED, at
        replica.error_message = "There was a standby already"
    replica.save()
    bind(agent=agent, replica=replica, instance_id=instance_id, at=at)
    return replica, True


# --- It goes --------------------------------------------------------------------------------------------------------


def retire(*, agent: Agent, replica: Replica, at: datetime, reason: str, status: str = Status.TERMINATED) -> None:
    """Close it; its machine, if there is one, stands on the termination lists until its end was confirmed."""
    if replica.status in FINAL:
        return
    replica.status, replica.terminated_at, replica.error_message = status, at, reason
    replica.claimed_by, replica.claimed_until = "", None
    replica.termination_confirmed = not replica.instance_id
    replica.save()
    _withdraw_launch(agent, replica, at)
    instance = Instance.objects.filter(agent=agent, instance_id=replica.instance_id).first()
    if instance and not instance.is_primary and not instance.is_gone:
        roles.mark_terminating(instance=instance, at=at)
        if agent.protocol == Agent.Protocol.V5:
            terminations.order_termination(agent=agent, instance=instance, created_by="system", reason=reason[:200])
    emit(
        event_type="replica_terminated",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=replica.instance_id,
        message=f"Standby {replica.instance_id or replica.public_id} of {agent.logical_agent_id} closed: {reason}",
        metadata={"replica_id": replica.public_id, "status": status},
    )


def _withdraw_launch(agent: Agent, replica: Replica, at: datetime) -> None:
    """An order nobody fetched yet must not launch what nobody wants any more."""
    if not replica.launch_command_id:
        return
    orders = Command.objects.filter(public_id=replica.launch_command_id, status=Command.Status.PENDING)
    if orders.exists():
        withdraw(agent=agent, orders=orders, reason="The standby is not needed any more")
        for placeholder in Instance.objects.filter(agent=agent, command_id=replica.launch_command_id):
            roles.mark_terminated(instance=placeholder, at=at, reason="the launch was withdrawn")


def fail(*, agent: Agent, replica: Replica, at: datetime, reason: str) -> None:
    """It did not come up, or is lost. A machine may exist nevertheless, so it is ended like a retired one."""
    if replica.status in FINAL:
        return
    retire(agent=agent, replica=replica, at=at, reason=reason or "no reason given", status=Status.FAILED)
    notify(
        client=agent.client,
        notification_type="replica_failed",
        severity="warning",
        message=f"The standby of {agent.logical_agent_id} failed: {reason or 'no reason given'}",
        agent_id=agent.public_id,
    )


def confirm_terminated(*, agent: Agent, replica: Replica, at: datetime) -> None:
    """Its machine is gone. On one that nobody asked to end, EC2 took it."""
    if replica.status not in FINAL:
        replica.status, replica.terminated_at, replica.error_message = Status.TERMINATED, at, "It is gone from EC2"
    replica.termination_confirmed = True
    replica.save(update_fields=["status", "terminated_at", "error_message", "termination_confirmed"])
    instance = Instance.objects.filter(agent=agent, instance_id=replica.instance_id).first()
    if instance and not instance.is_primary:
        roles.mark_terminated(instance=instance, at=at, reason=replica.error_message or "standby ended")


# --- Manual mode keeps exactly one ----------------------------------------------------------------------------------


def keep_one(*, agent: Agent, at: datetime) -> None:
    """Manual replica mode (4.5): none → a new one, after a back-off; several → the furthest, newest one stays."""
    if not agent.manual_replica_enabled or not agent.enabled or agent.is_deleted:
        return
    active = active_of(agent)
    if not active and agent.protocol in LAUNCHERS and agent.instance_id and at >= retry_after(agent=agent, at=at):
        request(agent=agent, replica_type=Type.MANUAL, wish=Wish(), at=at)
    keep = max(active, key=lambda r: (bool(r.instance_id), ORDER.index(Status(r.status)), r.pk), default=None)
    for surplus in active:
        if surplus is not keep:
            retire(agent=agent, replica=surplus, at=at, reason="Only one standby is kept")


def without_machine(agent: Agent) -> set[str]:
    """EC2 ids of this agent's machines that are leaving or gone; nothing can be moved there any more."""
    return set(Instance.objects.filter(agent=agent, status__in=Instance.GONE).values_list("instance_id", flat=True))
