"""Interruption signals, and the failover that the server owns until it is done (agent-api 3.14–3.17, 4.6).

An open termination episode of the current primary is the *intent* to fail over. It is a row, so it survives the agent
that reported it and the process that took it; every path that can make it possible ends in `pursue`, and so does a
sweeper. Whoever comes first does it under the agent's lock; all others find that it is done.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.errors import UnsupportedByAgent
from agents.models import Agent, Command
from agents.services.commands import enqueue, lock_agent
from instances.errors import AutoSwitchDisabled, NoSuitablePool
from instances.models import Instance, InterruptionEpisode, Replica
from instances.services import binding, episodes, replicas, roles, silence, switching
from instances.services.placement import Wish
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction

Kind, Response = InterruptionEpisode.Kind, InterruptionEpisode.Response
NOTICE = timedelta(seconds=120)  # AWS's notice, where the agent does not say when the machine ends
LAST_MOMENT = timedelta(seconds=30)  # then a standby that is still syncing is better than none
CANNOT_LAUNCH = (Agent.Protocol.V2, Agent.Protocol.V4B)


@dataclass(frozen=True)
class Outcome:
    """What v4 reads: on `success` it shuts down at once, so it is true only when the successor really runs."""

    success: bool
    action: str
    message: str
    replica: Replica | None = None
    old_instance_id: str = ""
    milliseconds: int | None = None

    @property
    def new_instance_id(self) -> str:
        return self.replica.instance_id if self.replica and self.success else ""


@dataclass(frozen=True)
class Emergency:
    replica: Replica
    is_new: bool


@retried_transaction
def record_termination_notice(
    *, agent: Agent, instance_id: str, deadline: datetime | None, replica_id: str = "", is_drill: bool = False
) -> Outcome:
    """AWS takes a machine back. Told once, or every few seconds until it is gone (3.16, 3.17 a)."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    instance = Instance.objects.filter(agent=agent, instance_id=instance_id).first() or roles.primary_of(agent)
    if instance is None or instance.is_gone:
        return Outcome(True, "already_handled", "The failover has happened", old_instance_id=instance_id)
    deadline = deadline or now + NOTICE
    if not instance.is_primary:
        return _lose_standby(agent, instance, deadline, now)
    if not is_drill:
        _hear(agent, now)
    episode = episodes.open_or_refresh(
        agent=agent, instance=instance, kind=Kind.TERMINATION, at=now, deadline=deadline, is_drill=is_drill
    )
    return _try(agent, instance, episode, now, takes_syncing=True, preferred=replica_id)


@retried_transaction
def record_rebalance(*, agent: Agent, instance_id: str) -> InterruptionEpisode | None:
    """A recommendation is often wrong, so it makes a standby and moves nothing (design 2.7). None: not the primary."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    instance = Instance.objects.filter(agent=agent, instance_id=instance_id).first() or roles.primary_of(agent)
    if instance is None or instance.is_gone:
        return None
    episode = episodes.open_or_refresh(agent=agent, instance=instance, kind=Kind.REBALANCE, at=now)
    if not instance.is_primary:
        return None
    _hear(agent, now)
    if not agent.emergency_protection or agent.protocol not in replicas.LAUNCHERS:
        return episode
    _ensure_standby(agent, episode, Replica.Type.REBALANCE, Wish(), now)
    return episode


@retried_transaction
def create_emergency_replica(
    *, agent: Agent, instance_id: str, kind: str, deadline: datetime | None, wish: Wish
) -> Emergency | None:
    """3.15. None when another instance than the primary asks: nothing is done for it.

    Raises AutoSwitchDisabled (rebalance only, design 2.1), UnsupportedByAgent, NoSuitablePool.
    """
    agent = lock_agent(agent.pk)
    now = clock.now()
    primary = roles.primary_of(agent)
    if primary is None or instance_id not in ("", primary.instance_id):
        return None
    if kind == Kind.REBALANCE and not agent.emergency_protection:
        raise AutoSwitchDisabled("Emergency protection is switched off for this agent")
    if agent.protocol in CANNOT_LAUNCH:
        raise UnsupportedByAgent("This agent cannot launch standbys")
    _hear(agent, now)
    deadline = deadline or (now + NOTICE if kind == Kind.TERMINATION else None)
    episode = episodes.open_or_refresh(agent=agent, instance=primary, kind=kind, at=now, deadline=deadline)
    replica_type = Replica.Type.TERMINATION if kind == Kind.TERMINATION else Replica.Type.REBALANCE
    emergency = _ensure_standby(agent, episode, replica_type, wish, now)
    if emergency is None:
        raise NoSuitablePool("There is no pool for a standby of this instance type")
    return emergency


def pursue(*, agent: Agent, at: datetime) -> Outcome | None:
    """Complete what can be completed now. The caller holds the agent's lock. None when nothing is intended."""
    if agent.is_deleted:
        return None
    primary = roles.primary_of(agent)
    if primary is None:
        return _take_over_vacant(agent, at)
    episode = episodes.open_of(agent=agent, instance_id=primary.instance_id, kind=Kind.TERMINATION)
    if episode:
        return _try(agent, primary, episode, at)
    return _take_over_silent(agent, primary, at)


@retried_transaction
def sweep_agent(*, agent_pk: int) -> bool:
    """What no call will trigger: the last moment before a deadline, deaths without notice, manual mode."""
    agent = lock_agent(agent_pk)
    now = clock.now()
    outcome = pursue(agent=agent, at=now)
    episodes.close_overdue(agent=agent, at=now)
    _retire_unneeded(agent, now)
    _fail_silent_standbys(agent, now)
    _fail_dead_launches(agent, now)
    replicas.keep_one(agent=agent, at=now)
    return outcome is not None and outcome.success


@retried_transaction
def promote_by_hand(*, agent: Agent, replica: Replica, keeps_old: bool, actor: str) -> Outcome:
    """3.24. The caller has checked that the standby may be promoted; here only the race is decided.

    Where AWS is taking the primary back, that interruption is over with it, as if the server had done it.
    """
    agent = lock_agent(agent.pk)
    now = clock.now()
    replica.refresh_from_db()
    primary = roles.primary_of(agent)
    if replica.status == Replica.Status.PROMOTED:
        return Outcome(True, "replica_promoted", "It is the primary already", replica)
    is_gone = replica.instance_id in replicas.without_machine(agent)
    if not replica.is_active or not replica.instance_id or is_gone or primary is None:
        return Outcome(False, "conflict", "It was closed or promoted in the meantime", replica)
    opened = episodes.open_of(agent=agent, instance_id=primary.instance_id, kind=Kind.TERMINATION)
    _promote(agent, primary, replica, now, trigger="manual", actor=actor, episode=None if keeps_old else opened)
    if keeps_old:
        _keep_as_standby(agent, primary, now)
    replicas.keep_one(agent=agent, at=now)
    return Outcome(True, "replica_promoted", "The standby is the primary now", replica, primary.instance_id)


# --- One attempt ----------------------------------------------------------------------------------------------------


def _try(
    agent: Agent,
    primary: Instance,
    episode: InterruptionEpisode,
    at: datetime,
    *,
    takes_syncing: bool = False,
    preferred: str = "",
) -> Outcome:
    takes_syncing = takes_syncing or _is_last_moment(agent, episode, at)
    if replica := _candidate(agent, takes_syncing, preferred):
        _promote(agent, primary, replica, at, trigger="emergency", episode=episode)
        elapsed = int((at - episode.detected_at).total_seconds() * 1000)
        message = f"{replica.instance_id} is the primary now"
        return Outcome(True, "replica_promoted", message, replica, primary.instance_id, elapsed)
    if agent.protocol not in replicas.LAUNCHERS:
        episodes.set_response(episode, Response.EMERGENCY_SNAPSHOT)
        message = "No standby, and this agent cannot launch one"
        return Outcome(False, "emergency_snapshot_required", message, None, primary.instance_id)
    emergency = _ensure_standby(agent, episode, Replica.Type.TERMINATION, Wish(), at)
    message = "The failover follows as soon as the standby runs" if emergency else "There is no pool for a standby"
    return Outcome(False, "failover_pending", message, emergency.replica if emergency else None, primary.instance_id)


def _hear(agent: Agent, at: datetime) -> None:
    """A primary that reports its own end is alive until then: to the sweepers, and to the ledger."""
    agent.last_heartbeat_at = at
    agent.save(update_fields=["last_heartbeat_at"])


def _is_last_moment(agent: Agent, episode: InterruptionEpisode, at: datetime) -> bool:
    is_close = episode.deadline_at is not None and episode.deadline_at - at <= LAST_MOMENT
    return is_close or agent.is_silent(at=at)


def _candidate(agent: Agent, takes_syncing: bool, preferred: str) -> Replica | None:
    """Bound, ready before syncing, then the oldest; the one that was named, if it will do (3.16 rule 3)."""
    able = {Replica.Status.READY} | ({Replica.Status.SYNCING} if takes_syncing else set())
    gone = replicas.without_machine(agent)
    fit = [r for r in replicas.active_of(agent) if r.instance_id and r.status in able and r.instance_id not in gone]
    return next((r for r in fit if r.public_id == preferred), fit[0] if fit else None)


def _ensure_standby(
    agent: Agent, episode: InterruptionEpisode, replica_type: str, wish: Wish, at: datetime
) -> Emergency | None:
    """An active one of any type will do; two would cost twice (3.15 rule 1)."""
    active = replicas.active_of(agent)
    replica = active[0] if active else None
    if replica is None:
        replica = replicas.request(
            agent=agent,
            replica_type=replica_type,
            wish=wish,
            at=at,
            signal_type=episode.kind,
            signal_at=episode.detected_at,
            deadline_at=episode.deadline_at,
        )
        if replica is None:
            return None
        _announce_request(agent, replica, episode)
    episodes.set_replica(episode, replica)
    return Emergency(replica, not active)


def _promote(
    agent: Agent,
    primary: Instance,
    replica: Replica,
    at: datetime,
    *,
    trigger: str,
    episode: InterruptionEpisode | None = None,
    actor: str = "",
) -> None:
    """The one promotion there is: replica, roles, switch record, orders and episode in the caller's transaction."""
    successor = binding.attach(agent, replica, at)
    replica.status, replica.promoted_at = Replica.Status.PROMOTED, at
    replica.save(update_fields=["status", "promoted_at"])
    roles.make_primary(agent=agent, instance=successor, at=at)
    if episode and not episode.is_drill:
        primary.refresh_from_db()
        roles.mark_terminating(instance=primary, at=at, deadline=episode.deadline_at)
    roles.retire_orders(agent=agent, reason="The workload moved to its standby")
    switching.record_promotion(agent=agent, old=primary, new=successor, trigger=trigger, at=at, replica=replica)
    _count_failover(agent, at, is_real=episode is not None and not episode.is_drill)
    if episode:
        episodes.complete(episode, replica=replica, at=at)
    if agent.protocol == Agent.Protocol.V5:
        _tag_as_primary(agent, successor, primary)
    _announce_promotion(agent, primary, successor, trigger, actor, episode)


def _count_failover(agent: Agent, at: datetime, *, is_real: bool) -> None:
    agent.last_failover_at = agent.last_switch_at = at
    agent.interruptions_handled += int(is_real)
    # The successor has not been heard as a primary yet; it gets as long as any other to be.
    agent.last_heartbeat_at = max(agent.last_heartbeat_at or at, at)
    agent.save(update_fields=["last_failover_at", "last_switch_at", "interruptions_handled", "last_heartbeat_at"])
    Agent.objects.filter(pk=agent.pk, status__in=[Agent.Status.OFFLINE, Agent.Status.SWITCHING]).update(
        status=Agent.Status.ONLINE
    )


def _tag_as_primary(agent: Agent, successor: Instance, old: Instance) -> None:
    """v5 keeps the role in EC2 tags as well."""
    enqueue(
        agent=agent,
        command_type=Command.Type.PROMOTE_REPLICA_TO_PRIMARY,
        priority=Command.Priority.EMERGENCY,
        instance_id=successor.instance_id,
        params={"replica_instance_id": successor.instance_id, "old_primary_id": old.instance_id},
    )


def _keep_as_standby(agent: Agent, old: Instance, at: datetime) -> None:
    """`demote_old_primary`: the old primary becomes the standby of its successor."""
    old.refresh_from_db()
    roles.attach_standby(agent=agent, instance=old, at=at)
    Replica.objects.create(
        client_id=agent.client_id,
        agent=agent,
        instance_id=old.instance_id,
        parent_instance_id=agent.instance_id,
        status=Replica.Status.READY,
        sync_status=Replica.SyncStatus.SYNCED,
        state_transfer_progress=100,
        pool_id=old.pool_id,
        instance_type=old.instance_type,
        region=old.region,
        az=old.az,
        created_by="demotion",
        created_at=at,
        ready_at=at,
    )


# --- Without a notice -----------------------------------------------------------------------------------------------


def _take_over_silent(agent: Agent, primary: Instance, at: datetime) -> Outcome | None:
    """Some machines go without a word. A v5 agent that executes an order is mute for longer (2.1)."""
    heard_at = agent.last_heartbeat_at
    if not (agent.emergency_protection and agent.enabled and silence.is_overdue(heard_at, at=at)):
        return None
    executing = Command.objects.filter(agent=agent, status=Command.Status.DELIVERED, command_type__in=Command.V5_TYPES)
    if executing.exists() or (replica := _candidate(agent, False, "")) is None:
        return None
    standby = Instance.objects.filter(agent=agent, instance_id=replica.instance_id).first()
    if standby is None or not silence.is_dead(primary, heard_at=heard_at, witness_heard_at=standby.last_seen_at, at=at):
        return None
    _promote(agent, primary, replica, at, trigger="emergency")
    return Outcome(True, "replica_promoted", f"{replica.instance_id} is the primary now", replica, primary.instance_id)


def _take_over_vacant(agent: Agent, at: datetime) -> Outcome | None:
    """The primary was gone before its standby ran: late is better than never."""
    replica = _candidate(agent, True, "")
    last = Instance.objects.filter(agent=agent, status__in=Instance.GONE).order_by("-last_switch_at", "-id").first()
    if replica is None or last is None:
        return None
    _promote(agent, last, replica, at, trigger="emergency")
    return Outcome(True, "replica_promoted", f"{replica.instance_id} is the primary now", replica, last.instance_id)


def _lose_standby(agent: Agent, instance: Instance, deadline: datetime, at: datetime) -> Outcome:
    """The notice is about a standby: the primary is untouched, and manual mode gets a new one (3.16 rule 5)."""
    episodes.open_or_refresh(agent=agent, instance=instance, kind=Kind.TERMINATION, at=at, deadline=deadline)
    instance.notice_deadline = deadline
    instance.save(update_fields=["notice_deadline"])
    for replica in replicas.active_of(agent):
        if replica.instance_id == instance.instance_id:
            replicas.fail(agent=agent, replica=replica, at=at, reason="AWS takes it back")
    replicas.keep_one(agent=agent, at=at)
    return Outcome(True, "standby_lost", "The primary is not affected", old_instance_id=instance.instance_id)


# --- Tidying up -----------------------------------------------------------------------------------------------------


def _retire_unneeded(agent: Agent, at: datetime) -> None:
    """Emergency standbys end with the signal that called for them, unless manual mode keeps one anyway (3.15)."""
    if agent.manual_replica_enabled or episodes.any_open(agent=agent):
        return
    for replica in replicas.active_of(agent):
        if replica.replica_type != Replica.Type.MANUAL:
            replicas.retire(agent=agent, replica=replica, at=at, reason="The signal passed without an interruption")


def _fail_silent_standbys(agent: Agent, at: datetime) -> None:
    """v4 does not watch standbys: one that was heard once and is no more counts as lost (4.5)."""
    for replica in replicas.active_of(agent):
        instance = Instance.objects.filter(agent=agent, instance_id=replica.instance_id).first()
        if not replica.instance_id or instance is None:
            continue
        heard, witness = instance.last_seen_at, agent.last_heartbeat_at
        if instance.is_gone or silence.is_dead(instance, heard_at=heard, witness_heard_at=witness, at=at):
            reason = "Its machine is gone" if instance.is_gone else "It is not heard any more"
            replicas.fail(agent=agent, replica=replica, at=at, reason=reason)


def _fail_dead_launches(agent: Agent, at: datetime) -> None:
    """v5 was ordered to launch it, and the order ended without an instance."""
    for replica in replicas.active_of(agent):
        launch = Command.objects.filter(public_id=replica.launch_command_id, status__in=Command.DEAD).first()
        if launch and not replica.instance_id:
            reason = launch.message or f"Its launch is {launch.status}"
            replicas.fail(agent=agent, replica=replica, at=at, reason=reason)


def _announce_request(agent: Agent, replica: Replica, episode: InterruptionEpisode) -> None:
    is_termination = episode.kind == Kind.TERMINATION
    text = f"A standby of {agent.logical_agent_id} was requested in {replica.pool_id or replica.az}: {episode.kind}"
    emit(
        event_type="emergency_replica_created",
        severity="warning",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=agent.instance_id,
        message=text,
        metadata={"replica_id": replica.public_id, "episode_id": episode.public_id, "placement": replica.placement},
    )
    notify(
        client=agent.client,
        notification_type="emergency_replica_created",
        severity="error" if is_termination else "warning",
        message=text,
        agent_id=agent.public_id,
    )


def _announce_promotion(
    agent: Agent, old: Instance, new: Instance, trigger: str, actor: str, episode: InterruptionEpisode | None
) -> None:
    by_hand = trigger == "manual"
    event_type = "replica_promoted" if by_hand else "failover_completed"
    text = f"{agent.logical_agent_id} moved from {old.instance_id} to its standby {new.instance_id}"
    if episode and episode.is_drill:
        text = f"Drill: {text}"
    emit(
        event_type=event_type,
        severity="info" if by_hand else "warning",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=new.instance_id,
        actor=actor,
        message=text,
        metadata={"old_instance_id": old.instance_id, "episode_id": episode.public_id if episode else None},
    )
    notify(
        client=agent.client,
        notification_type=event_type,
        severity="info" if by_hand else "error",
        message=text,
        agent_id=agent.public_id,
    )
