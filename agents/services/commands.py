"""The command queue: delivered at least once, executed at most once (agent-api 2.4, 3.5–3.8).

pending → delivered → completed | failed, or superseded, expired, cancelled on the way. Every change is made under
the agent's row lock, which always comes before the commands' own.
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from agents.errors import CommandNotFound, SwitchPending
from agents.models import Agent, Command
from agents.services.status import announce
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction

log = logging.getLogger(__name__)

Status, Type, Purpose = Command.Status, Command.Type, Command.Purpose

# A v5 agent that lost a reply may be given these again at any time; a launch may have run (agent-api 3.8).
NOT_FETCHED = "The agent did not fetch it in time"
REPEATABLE = (Type.TERMINATE_INSTANCE, Type.PROMOTE_REPLICA_TO_PRIMARY, Type.APPLY_CONFIG)


def lock_agent(pk: int) -> Agent:
    """The first step of every state change: takes the row lock that orders all of an agent's changes.

    The lock is that of an UPDATE which sets `changed_at`, so no process goes on with what it remembers of the agent.
    Nothing is joined: MariaDB would lock the client's row as well, and with it every other agent of that client.
    """
    Agent.objects.filter(pk=pk).update()
    return Agent.objects.get(pk=pk)


def enqueue(
    *,
    agent: Agent,
    command_type: str,
    purpose: str = Purpose.OTHER,
    lifetime: timedelta | None = None,
    **fields: Any,
) -> Command:
    """Queue an order. The caller holds the agent's lock. Raises SwitchPending when an open switch is in the way."""
    lifetime = lifetime or timedelta(seconds=settings.COMMAND_PENDING_TTL)
    command = Command(
        client_id=agent.client_id,
        agent=agent,
        command_type=command_type,
        purpose=purpose,
        expires_at=clock.now() + lifetime,
        **fields,
    )
    try:
        with transaction.atomic():
            command.save(force_insert=True)
    except IntegrityError:
        other = Command.objects.open().filter(agent=agent, purpose=Purpose.SWITCH).first()
        if other is None:
            raise
        details = {"command_id": other.public_id}
        raise SwitchPending("A switch of this agent is already under way", details=details) from None
    return command


def poll(*, agent: Agent, caller: str, types: Collection[str], limit: int | None = None) -> list[Command]:
    """What the calling primary is to do now, highest priority first. `agent` is as authentication read it.

    No statement at all when nothing is open: authentication has just counted the open orders.
    """
    if not may_have_work(agent) or not _queue(agent.pk, types).exists():
        return []
    return hand_out(agent_pk=agent.pk, caller=caller or agent.instance_id, types=types, limit=limit)


def may_have_work(agent: Agent) -> bool:
    """False: there is nothing to hand out until the agent changes."""
    return agent.enabled and agent.open_commands > 0


@retried_transaction
def hand_out(*, agent_pk: int, caller: str, types: Collection[str], limit: int | None = None) -> list[Command]:
    """Mark as delivered what is due. A delivered order is listed again only while its reply may have been lost."""
    agent = lock_agent(agent_pk)
    now = clock.now()
    due = []
    for command in _queue(agent_pk, types):
        if _is_outdated(command, agent, now):
            continue
        if command.status == Status.PENDING:
            _deliver(command, agent, caller, now)
            due.append(command)
        elif _may_repeat(command, caller, now):
            due.append(command)
        if limit and len(due) == limit:
            break
    return due


def find(*, agent: Agent, command_id: str) -> Command:
    command = Command.objects.filter(agent=agent, public_id=command_id).first()
    if command is None:
        raise CommandNotFound
    return command


def conclude(
    *,
    command: Command,
    succeeded: bool,
    message: str = "",
    result: dict[str, Any] | None = None,
    timed_out: bool = False,
) -> Command:
    """Record an outcome, under the agent's lock. Final states stay, but a late success corrects a time-out."""
    command.refresh_from_db(fields=["status", "timed_out", "message"])
    just_ended = command.is_open or (command.timed_out and succeeded)
    if just_ended:
        command.status = Status.COMPLETED if succeeded else Status.FAILED
        command.timed_out = timed_out
        command.result = result or {}
        command.executed_at = command.completed_at = clock.now()
        command.message = message
    elif message and not command.message:
        command.message = message
    else:
        return command
    command.save(update_fields=["status", "timed_out", "result", "executed_at", "completed_at", "message"])
    if just_ended:
        _settle_agent_status(command.agent)
        _record_end(command)
        if not succeeded:
            _tell_of_failure(command)
    return command


@retried_transaction
def record_outcome(*, agent: Agent, command_id: str, succeeded: bool, message: str, result: dict[str, Any]) -> Command:
    """v4's `executed` (agent-api 3.6). Idempotent."""
    lock_agent(agent.pk)
    command = find(agent=agent, command_id=command_id)
    return conclude(command=command, succeeded=succeeded, message=message, result=result)


@retried_transaction
def record_execution(*, agent: Agent, command_id: str) -> Command:
    """v2's `mark-command-executed` says that, not how, it ended (agent-api 3.7).

    v2 always reports the switch first, and that report, or the successor's registration, completes the command.
    So an order that is still open here has failed.
    """
    lock_agent(agent.pk)
    command = find(agent=agent, command_id=command_id)
    return conclude(command=command, succeeded=False, message="The agent ended it without a switch report")


def supersede_open(*, agent: Agent, reason: str, except_pk: int | None = None) -> None:
    """Close all orders that a role change made pointless. The caller holds the agent's lock."""
    orders = Command.objects.open().filter(agent=agent)
    if except_pk:
        orders = orders.exclude(pk=except_pk)
    withdraw(agent=agent, orders=orders, reason=reason)


def withdraw(
    *, agent: Agent, orders: QuerySet[Command], reason: str, status: Command.Status = Status.SUPERSEDED
) -> None:
    """Close open orders without a result. The caller holds the agent's lock."""
    if orders.filter(status__in=Command.OPEN).update(status=status, completed_at=clock.now(), message=reason):
        _settle_agent_status(agent)


def expire_overdue(*, now: datetime | None = None, batch: int = 500) -> int:
    """Pending orders nobody fetched expire; delivered ones without a result have failed (agent-api 3.5, 3.8)."""
    now = now or clock.now()
    overdue = Command.objects.open().filter(expires_at__lt=now).order_by("expires_at")
    pks = list(overdue.values_list("pk", "agent_id")[:batch])
    return sum(_expire(command_pk=pk, agent_pk=agent_pk, now=now) for pk, agent_pk in pks)


@retried_transaction
def _expire(*, command_pk: int, agent_pk: int, now: datetime) -> bool:
    lock_agent(agent_pk)
    command = Command.objects.open().filter(pk=command_pk, expires_at__lt=now).select_related("agent").first()
    if command is None:
        return False  # a result or another sweeper came first
    if command.status == Status.PENDING:
        orders = Command.objects.filter(pk=command.pk)
        withdraw(agent=command.agent, orders=orders, reason=NOT_FETCHED, status=Status.EXPIRED)
        log.info("command %s expired", command.public_id)
    else:
        conclude(command=command, succeeded=False, message="No result in time", timed_out=True)
    return True


def _queue(agent_pk: int, types: Collection[str]) -> QuerySet[Command]:
    queue = Command.objects.open().filter(agent_id=agent_pk, command_type__in=types)
    return queue.order_by("-priority", "id")


def _is_outdated(command: Command, agent: Agent, now: datetime) -> bool:
    """Orders for an instance that is no longer the primary, and those fetched too late, are closed here."""
    if command.status == Status.PENDING and command.expires_at < now:
        status, reason = Status.EXPIRED, NOT_FETCHED
    elif command.instance_id and command.instance_id != agent.instance_id:
        status, reason = Status.SUPERSEDED, "Its instance is no longer the primary"
    else:
        return False
    withdraw(agent=agent, orders=Command.objects.filter(pk=command.pk), reason=reason, status=status)
    return True


def _deliver(command: Command, agent: Agent, caller: str, now: datetime) -> None:
    command.status, command.delivered_at, command.delivered_to = Status.DELIVERED, now, caller
    command.expires_at = now + _time_to_execute(command)
    command.save(update_fields=["status", "delivered_at", "delivered_to", "expires_at"])
    if command.purpose == Purpose.SWITCH and agent.status == Agent.Status.ONLINE:
        Agent.objects.filter(pk=agent.pk).update(status=Agent.Status.SWITCHING)
        announce(agent=agent, old_status=agent.status, new_status=Agent.Status.SWITCHING)


def _may_repeat(command: Command, caller: str, now: datetime) -> bool:
    """One reply may get lost; the successor that polls under the same agent id must not get the order again."""
    if command.delivered_to != caller or command.delivered_at is None:
        return False
    age = now - command.delivered_at
    return command.command_type in REPEATABLE or age < timedelta(seconds=settings.COMMAND_REDELIVERY_SECONDS)


def _time_to_execute(command: Command) -> timedelta:
    """From delivery to the latest result (agent-api 3.5, 3.8)."""
    if command.command_type in Command.V4_TYPES:
        return timedelta(seconds=command.terminate_wait_seconds + settings.SWITCH_REPORT_GRACE)
    limits = {Type.LAUNCH_INSTANCE: settings.AGENT_BUSY_TIMEOUT, Type.TERMINATE_INSTANCE: 300}
    return timedelta(seconds=limits.get(Type(command.command_type), 60))


def _settle_agent_status(agent: Agent) -> None:
    """`switching` ends with the last open switch, not with the old host's next heartbeat (agent-api 2.1)."""
    if Command.objects.open().filter(agent=agent, purpose=Purpose.SWITCH).exists():
        return
    switching = Agent.objects.filter(pk=agent.pk, status=Agent.Status.SWITCHING)
    if switching.update(status=Agent.Status.ONLINE):
        agent.status = Agent.Status.ONLINE
        announce(agent=agent, old_status=Agent.Status.SWITCHING, new_status=agent.status)


def _record_end(command: Command) -> None:
    what = f"{command.get_command_type_display()} on {command.instance_id or command.agent}"
    emit(
        event_type="command_executed",
        severity="info" if command.status == Status.COMPLETED else "warning",
        client=command.client,
        agent_id=command.agent.public_id,
        instance_id=command.instance_id,
        message=f"{what} {command.status}",
        metadata={
            "command_id": command.public_id,
            "command_type": command.command_type,
            "status": command.status,
        },
    )


def _tell_of_failure(command: Command) -> None:
    what = f"{command.get_command_type_display()} on {command.instance_id or command.agent}"
    notify(
        client=command.client,
        notification_type="command_failed",
        severity="warning",
        message=f"{what} failed: {command.message or 'no reason given'}",
        agent_id=command.agent.public_id,
        metadata={"command_id": command.public_id},
    )
