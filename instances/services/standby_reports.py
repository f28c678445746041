"""The doors to standbys: what agents report about them and what people want of them (agent-api 3.20–3.26).

Each takes the agent's lock, and ends in `failover.pursue`: any of them may be what a failover was waiting for.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from agents.attribution import Caller
from agents.errors import UnsupportedByAgent
from agents.models import Agent
from agents.services.commands import lock_agent
from instances.errors import AgentUnavailable, NoSuitablePool, PoolNotFound, ReplicaNotFound
from instances.models import Pool, Replica
from instances.selectors.replicas import to_terminate
from instances.services import binding, failover, replicas
from instances.services.failover import Outcome
from instances.services.launch_failures import record_failure
from instances.services.placement import Wish
from instances.services.terminations import standbys_may_come_due
from spotopt.common import clock, wire
from spotopt.common.db import retried_transaction
from spotopt.common.errors import Conflict, Invalid
from spotopt.common.fields import split_pool_id

Status, Sync = Replica.Status, Replica.SyncStatus


@dataclass(frozen=True)
class Bound:
    replica: Replica
    is_first: bool  # false: another instance was bound before, this one is to go


def work_for(*, agent: Agent, caller: Caller, status: str) -> list[Replica]:
    """What the calling primary is to launch or to terminate now."""
    if status == "terminated":
        return list(to_terminate(agent=agent, at=clock.now()))
    return _claim(agent_pk=agent.pk, caller=caller)


def may_have_work(*, agent: Agent, status: str) -> bool:
    """False: there is nothing to launch, or to terminate, until the agent changes."""
    if status == "terminated":
        return standbys_may_come_due(agent)
    return agent.enabled and Replica.objects.unbound().filter(agent=agent, status=Status.LAUNCHING).exists()


@retried_transaction
def _claim(*, agent_pk: int, caller: Caller) -> list[Replica]:
    agent = lock_agent(agent_pk)
    if not caller.is_primary_of(agent):
        return []
    return replicas.claim_launchable(agent=agent, caller=caller, at=clock.now())


@retried_transaction
def record_bound(*, agent: Agent, replica_id: str, instance_id: str) -> Bound:
    """3.22. Raises Invalid without an instance, ReplicaNotFound."""
    if not instance_id:
        raise Invalid("Validation failed", details={"instance_id": ["This field is required."]})
    agent = lock_agent(agent.pk)
    now = clock.now()
    replica = _find(agent, replica_id)
    is_first = binding.bind(agent=agent, replica=replica, instance_id=instance_id, at=now)
    return Bound(_pursued(agent, replica, now), is_first)


@retried_transaction
def record_launched(
    *, agent: Agent, instance_id: str, replica_type: str, parent_instance_id: str, pool_id: str, status: str
) -> tuple[Replica, bool]:
    """3.21: v4 says that it has launched one. Returns it and whether it is new."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    instance_type, az = split_pool_id(pool_id)
    replica, is_new = replicas.record_launched(
        agent=agent,
        instance_id=instance_id,
        replica_type=_type_of(replica_type, in_termination=agent.notice_status == Agent.Notice.TERMINATION),
        pool_id=pool_id,
        parent_instance_id=parent_instance_id,
        at=now,
        instance_type=instance_type or agent.instance_type,
        region=agent.region,
        az=az,
    )
    if status == Status.READY:
        binding.advance(replica=replica, status=Status.READY, at=now)
    return _pursued(agent, replica, now), is_new


@retried_transaction
def record_status(
    *, agent: Agent, replica_id: str, status: str, error_message: str, terminated_at: datetime | None
) -> Replica:
    """3.25. Acknowledged whatever it is; the reply holds the status that counts."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    replica = _find(agent, replica_id)
    if status == Status.FAILED and replica.is_active:
        record_failure(agent=agent, pool_id=replica.pool_id, message=error_message, at=now)
        replicas.fail(agent=agent, replica=replica, at=now, reason=error_message)
    elif status == Status.TERMINATED:
        ended = wire.clamp_time(terminated_at, received_at=now)
        replicas.confirm_terminated(agent=agent, replica=replica, at=ended)
    elif status != Status.FAILED:
        binding.advance(replica=replica, status=status, at=now)
    return _pursued(agent, replica, now)


@retried_transaction
def record_sync(*, agent: Agent, replica_id: str, **told: Any) -> Replica:
    """3.26. Progress of 100 means ready."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    replica = _find(agent, replica_id)
    if not replica.is_active:
        return replica
    replica.last_sync_at = now
    if "state_transfer_progress" in told:
        replica.state_transfer_progress = Decimal(str(round(told["state_transfer_progress"], 2)))
    replica.sync_status = told.get("sync_status", replica.sync_status)
    replica.sync_latency_ms = told.get("sync_latency_ms", replica.sync_latency_ms)
    replica.save(update_fields=["last_sync_at", "state_transfer_progress", "sync_status", "sync_latency_ms"])
    is_complete = told.get("state_transfer_progress", 0) >= 100 or told.get("status") == Status.READY
    if is_complete and replica.instance_id:
        binding.advance(replica=replica, status=Status.READY, at=now)
    return _pursued(agent, replica, now)


@retried_transaction
def request_by_hand(*, agent: Agent, wish: Wish, tags: dict[str, Any], created_by: str) -> Replica:
    """3.21: a person wants a standby. One at most."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    if not agent.manual_replica_enabled:
        raise Invalid("Manual standbys are not enabled for this agent", code="MANUAL_REPLICA_DISABLED")
    if agent.protocol not in replicas.LAUNCHERS:
        raise UnsupportedByAgent("This agent cannot launch standbys")
    if agent.status == Agent.Status.OFFLINE:
        raise AgentUnavailable("The agent is offline")
    if count := len(replicas.active_of(agent)):
        raise Conflict("There is a standby already", details={"current_count": count, "max_allowed": 1})
    _require_pool(agent, wish)
    replica = replicas.request(
        agent=agent, replica_type=Replica.Type.MANUAL, wish=wish, at=now, created_by=created_by[:64], tags=tags
    )
    if replica is None:
        raise NoSuitablePool("No pool satisfies these wishes")
    return replica


@retried_transaction
def delete(*, agent: Agent, replica_id: str, actor: str) -> Replica:
    """3.23. Again is nothing new; a promoted one is a primary and cannot be deleted."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    replica = _find(agent, replica_id)
    if replica.status == Status.PROMOTED:
        raise Conflict("This standby was promoted; it is the primary now")
    replicas.retire(agent=agent, replica=replica, at=now, reason=f"deleted by {actor}")
    replicas.keep_one(agent=agent, at=now)
    return replica


def promote(*, agent: Agent, replica_id: str, keeps_old: bool, waits_for_sync: bool, actor: str) -> Outcome:
    """3.24. Raises Conflict or Invalid when it cannot be; a repeat gets the same answer."""
    replica = _find(agent, replica_id)
    state = {"current_status": replica.status, "required_status": "ready or syncing"}
    if replica.status in (Status.TERMINATED, Status.FAILED):
        raise ReplicaNotFound
    if replica.status == Status.LAUNCHING and replica.instance_id:
        raise Invalid("The standby is not ready yet", details=state, extra=state)
    if not replica.instance_id:
        raise Conflict("The standby has no instance yet", details=state, extra=state)
    if replica.status == Status.SYNCING and waits_for_sync:
        raise Conflict("The standby is still syncing", details=state, extra=state)
    outcome = failover.promote_by_hand(agent=agent, replica=replica, keeps_old=keeps_old, actor=actor)
    if not outcome.success:
        raise Conflict(outcome.message)
    return outcome


def _type_of(word: str, *, in_termination: bool) -> str:
    """`emergency` is v4-early's word for whatever emergency is on (2.3)."""
    if word in Replica.Type.values:
        return word
    if word == "emergency":
        return Replica.Type.TERMINATION if in_termination else Replica.Type.REBALANCE
    return Replica.Type.MANUAL


def _find(agent: Agent, replica_id: str) -> Replica:
    replica = Replica.objects.filter(agent=agent, public_id=replica_id).first()
    if replica is None:
        raise ReplicaNotFound
    return replica


def _require_pool(agent: Agent, wish: Wish) -> None:
    if not wish.pool_id:
        return
    pool = Pool.objects.filter(pool_id=wish.pool_id).first()
    if pool is None:
        raise PoolNotFound(wish.pool_id)
    if agent.instance_type and pool.instance_type != agent.instance_type:
        message = f"Pool {pool.pool_id} is not of type {agent.instance_type}"
        raise Invalid(message, details={"pool_id": [message]})


def _pursued(agent: Agent, replica: Replica, at: datetime) -> Replica:
    failover.pursue(agent=agent, at=at)
    replicas.keep_one(agent=agent, at=at)
    replica.refresh_from_db()
    return replica
