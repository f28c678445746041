"""Moves that happened: reported by the old instance, or inferred from the successor's registration (agent-api 3.11)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db.models import Q, QuerySet

from agents.models import Agent, Command
from agents.services.commands import conclude, lock_agent
from agents.services.status import announce
from clients.models import Client
from instances.models import Instance, Replica, Switch
from instances.selectors.samples import recent_samples
from instances.services import merging, roles
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.fields import split_pool_id

if TYPE_CHECKING:
    from instances.services.registration import Registration

Status = Instance.Status
REPORT_WINDOW = timedelta(hours=24)  # a command explains a switch for this long after its delivery
SAMPLE_MAX_AGE = timedelta(hours=1)  # an older quote does not stand in for a price that was not reported


@dataclass(frozen=True)
class Side:
    """One end of a move, as the agent described it; empty text is unknown."""

    instance_id: str
    instance_type: str = ""
    region: str = ""
    az: str = ""
    ami_id: str = ""
    mode: str = "unknown"
    pool_id: str = ""


@dataclass(frozen=True)
class SwitchReport:
    old: Side
    new: Side
    ondemand_price: Decimal | None = None
    old_spot_price: Decimal | None = None
    new_spot_price: Decimal | None = None
    timing: dict[str, datetime | None] = field(default_factory=dict)  # named as the fields of Switch
    trigger: str = ""
    snapshot: dict[str, Any] = field(default_factory=dict)
    command_id: str = ""
    downtime_seconds: int | None = None
    success: bool = True
    error_message: str = ""


@dataclass(frozen=True)
class Recorded:
    switch: Switch
    is_duplicate: bool
    old_status: str
    new_status: str


@retried_transaction
def record_report(*, agent: Agent, report: SwitchReport) -> Recorded:
    """Idempotent by (agent, old, new): a repeat enriches the record and books nothing twice."""
    agent = lock_agent(agent.pk)
    now = clock.now()
    known = _find(agent, report.old.instance_id, report.new.instance_id)
    command = (known.command if known else None) or _command_behind(agent, report, now)
    old = _instance(agent, report.old, now)
    new = _instance(agent, report.new, now)
    _adopt_stranger(agent, new, now)
    moved = report.success and not _is_anomalous(agent, report) and new.agent_id == agent.pk
    is_anomalous = known.is_anomalous if known else not moved
    if is_anomalous and known is None:
        _reject_successor(agent, new, now)
    elif known is None:
        _move(agent, new, now)  # a repeat moves nothing: the workload may have moved on since
    if not is_anomalous:
        _leave_behind(agent, old, report.timing.get("old_terminated_at"), now)
    switch = known or Switch(client_id=agent.client_id, agent=agent, created_at=now, is_anomalous=is_anomalous)
    _describe(switch, report, command)
    if command and not is_anomalous:
        conclude(command=command, succeeded=True, message="The agent reported the switch")
    elif command and not report.success:
        conclude(command=command, succeeded=False, message=report.error_message or "The agent reported a failure")
    if known is None:
        _announce(switch, agent)
    new.refresh_from_db()
    return Recorded(switch, known is not None, old.status, new.status)


def expected_by(*, agent: Agent, instance: Instance, at: datetime) -> Command | None:
    """R5: the delivered switch that this newcomer can be the result of; also when the report got lost (9.2)."""
    commands = _awaiting(at).filter(agent=agent).exclude(instance_id=instance.instance_id)
    return next((c for c in commands if _could_be(c, instance, agent)), None)


def expecting_unconfigured_successor(*, client: Client, body: "Registration", at: datetime) -> Agent | None:
    """C20: without a logical id the successor is a stranger. A single outstanding switch that fits it, launched from
    the same image, is taken as the link; v5 says itself what it launched and needs no guess.
    """
    if not body.is_unconfigured or body.protocol == Agent.Protocol.V5 or not body.ami_id:
        return None
    stranger = Instance(
        instance_id=body.instance_id,
        mode=body.mode,
        instance_type=body.instance_type,
        az=body.az,
        ami_id=body.ami_id,
    )
    commands = _awaiting(at).filter(client=client, command_type=Command.Type.SWITCH, agent__ami_id=body.ami_id)
    unconfigured = [
        c.agent
        for c in commands.select_related("agent")[:200]
        if _could_be(c, stranger, c.agent) and c.agent.instances.filter(instance_id=c.agent.logical_agent_id).exists()
    ]
    return unconfigured[0] if len(unconfigured) == 1 else None


def conclude_by_registration(*, agent: Agent, instance: Instance, command: Command, at: datetime) -> None:
    """The successor is there: it becomes the primary and the switch is on record, whether or not a report follows."""
    old = roles.make_primary(agent=agent, instance=instance, at=at)
    if old is None:
        return
    report = SwitchReport(
        old=_side(old),
        new=_side(instance),
        timing={"initiated_at": command.delivered_at, "instance_ready_at": at},
    )
    switch = Switch(client_id=agent.client_id, agent=agent, created_at=at, source=Switch.Source.INFERRED)
    _describe(switch, report, command)
    Agent.objects.filter(pk=agent.pk).update(last_switch_at=at)
    conclude(command=command, succeeded=True, message="The successor registered")
    roles.retire_orders(agent=agent, reason="The workload moved", except_pk=command.pk)
    _announce(switch, agent)


def record_promotion(
    *, agent: Agent, old: Instance, new: Instance, trigger: str, at: datetime, replica: Replica
) -> Switch:
    """A standby took over: the server itself made the move, so there is no report to wait for."""
    report = SwitchReport(
        old=_side(old),
        new=_side(new),
        timing={
            "initiated_at": replica.signal_at or at,
            "instance_launched_at": replica.launched_at,
            "instance_ready_at": replica.ready_at,
            "traffic_switched_at": at,
        },
    )
    switch = Switch(client_id=agent.client_id, agent=agent, created_at=at, source=Switch.Source.PROMOTED)
    switch.trigger = trigger
    _describe(switch, report, None)
    return switch


def _awaiting(at: datetime) -> QuerySet[Command]:
    """Delivered switches without a record: open, completed by `executed` alone, or timed out with a late successor."""
    fetched = Q(status__in=[Command.Status.DELIVERED, Command.Status.COMPLETED]) | Q(
        status=Command.Status.FAILED, timed_out=True
    )
    recent = Command.objects.filter(fetched, purpose=Command.Purpose.SWITCH, delivered_at__gt=at - REPORT_WINDOW)
    return recent.filter(switches=None).order_by("-delivered_at")


def _could_be(command: Command, instance: Instance, agent: Agent) -> bool:
    wanted_type, wanted_az = split_pool_id(command.target_pool_id)
    return (
        _agree(command.target_mode, "" if instance.mode == "unknown" else instance.mode)
        and _agree(wanted_az, instance.az)
        and _agree(wanted_type or agent.instance_type, instance.instance_type)
    )


def _agree(wanted: str, found: str) -> bool:
    return not wanted or not found or wanted == found


def _find(agent: Agent, old_id: str, new_id: str) -> Switch | None:
    return Switch.objects.filter(agent=agent, old_instance_id=old_id, new_instance_id=new_id).first()


def _command_behind(agent: Agent, report: SwitchReport, now: datetime) -> Command | None:
    """No agent sends a command id, so it is found by the instance the order was for."""
    commands = _awaiting(now).filter(agent=agent, instance_id=report.old.instance_id)
    if report.command_id:
        commands = commands.filter(public_id=report.command_id)
    return commands.first()


def _instance(agent: Agent, side: Side, now: datetime) -> Instance:
    """The row of one end of the move, created where it was unknown."""
    mode, pool_id = side.mode, roles.pool_of(mode=side.mode, instance_type=side.instance_type, az=side.az)
    facts = {
        "instance_type": side.instance_type,
        "az": side.az,
        "ami_id": side.ami_id,
        "mode": mode,
        "pool_id": pool_id,
    }
    instance, is_new = Instance.objects.get_or_create(
        client_id=agent.client_id,
        instance_id=side.instance_id,
        defaults=facts
        | {
            "agent": agent,
            "status": Status.LAUNCHING,
            "region": side.region or agent.region,
            "launch_confirmed_at": now,
            "ledger_from": now,
            "created_at": now,
        },
    )
    if not is_new:
        roles.learn_facts(instance=instance, mode=mode, instance_type=side.instance_type, az=side.az)
    return instance


def _adopt_stranger(agent: Agent, new: Instance, now: datetime) -> None:
    """The successor registered as an agent of its own before we knew whose it is; another agent's is left alone."""
    owner = new.agent
    if owner and owner.pk != agent.pk and owner.logical_agent_id == new.instance_id and not new.is_gone:
        merging.bring_under(agent=agent, instance=new, at=now)


def _is_anomalous(agent: Agent, report: SwitchReport) -> bool:
    """Neither end is the primary: an instance that had lost the role executed something."""
    return bool(agent.instance_id) and agent.instance_id not in (
        report.old.instance_id,
        report.new.instance_id,
    )


def _reject_successor(agent: Agent, new: Instance, now: datetime) -> None:
    if new.agent_id == agent.pk and not new.is_gone:
        roles.make_zombie(instance=new, at=now)
    notify(
        client=agent.client,
        notification_type="anomalous_switch",
        severity="warning",
        message=f"An obsolete instance of {agent.logical_agent_id} launched {new.instance_id}; it will be terminated",
        agent_id=agent.public_id,
    )


def _move(agent: Agent, new: Instance, now: datetime) -> None:
    if not new.is_gone:
        roles.make_primary(agent=agent, instance=new, at=now)
    Agent.objects.filter(pk=agent.pk).update(last_switch_at=now)
    if Agent.objects.filter(pk=agent.pk, status=Agent.Status.OFFLINE).update(status=Agent.Status.ONLINE):
        announce(agent=agent, old_status=Agent.Status.OFFLINE, new_status=Agent.Status.ONLINE)


def _leave_behind(agent: Agent, old: Instance, terminated_at: datetime | None, now: datetime) -> None:
    old.refresh_from_db()
    if old.agent_id != agent.pk:
        return
    if terminated_at:
        roles.mark_terminated(instance=old, at=terminated_at, reason="switch")
    elif not old.is_gone and not old.is_primary:
        roles.make_zombie(instance=old, at=now)


def _side(instance: Instance) -> Side:
    return Side(
        instance_id=instance.instance_id,
        instance_type=instance.instance_type,
        region=instance.region,
        az=instance.az,
        ami_id=instance.ami_id,
        mode=instance.mode,
        pool_id=instance.pool_id,
    )


def _describe(switch: Switch, report: SwitchReport, command: Command | None) -> None:
    """Fill in what the report knows; unknown parts of a repeat do not wipe what an earlier one told."""
    for end, side in (("old", report.old), ("new", report.new)):
        for name in ("instance_id", "instance_type", "region", "az", "ami_id"):
            _set(switch, f"{end}_{name}", getattr(side, name))
        if side.mode != "unknown":
            setattr(switch, f"{end}_mode", side.mode)
        _set(
            switch,
            f"{end}_pool_id",
            roles.pool_of(mode=side.mode, instance_type=side.instance_type, az=side.az),
        )
    for name, value in report.timing.items():
        _set(switch, name, value)
    _set(switch, "command", command)
    _set(switch, "snapshot", report.snapshot)
    _set(switch, "error_message", report.error_message)
    _set(switch, "downtime_seconds", _downtime(switch, report))
    switch.success = report.success
    switch.source = switch.source or Switch.Source.REPORTED
    switch.trigger = _trigger(command, report.trigger, switch.trigger)
    _price(switch, report)
    switch.save()


def _set(switch: Switch, name: str, value: Any) -> None:
    if value not in (None, "", {}):
        setattr(switch, name, value)


def _trigger(command: Command | None, reported: str, current: str) -> str:
    """Agents say `manual` for every priority ≥ 50, so the order itself is the better witness (agent-api 2.5)."""
    Trigger = Switch.Trigger
    if command is not None:
        if command.priority >= Command.Priority.EMERGENCY and command.created_by != "manual":
            return Trigger.EMERGENCY
        return Trigger.MANUAL if command.created_by not in ("model", "system") else Trigger.AUTOMATIC
    words = {"manual": Trigger.MANUAL, "model": Trigger.AUTOMATIC, "automatic": Trigger.AUTOMATIC}
    return words.get(reported, Trigger.EMERGENCY if reported == "emergency" else current)


def _downtime(switch: Switch, report: SwitchReport) -> int | None:
    """Reported, or measured where both ends were; otherwise unmeasured, never 0 (dashboard-api 2.4)."""
    if report.downtime_seconds is not None:
        return max(0, report.downtime_seconds)
    if switch.instance_ready_at and switch.old_terminated_at:
        return max(0, int((switch.instance_ready_at - switch.old_terminated_at).total_seconds()))
    return None


def _price(switch: Switch, report: SwitchReport) -> None:
    """Reported prices, else recent samples; `savings_impact` stays null while either side is unknown."""
    samples = recent_samples(
        pool_ids=[switch.old_pool_id, switch.new_pool_id],
        instance_type=switch.new_instance_type or switch.old_instance_type,
        region=switch.new_region or switch.old_region,
        not_before=switch.created_at - SAMPLE_MAX_AGE,
    )
    _set(switch, "ondemand_price", report.ondemand_price)
    switch.ondemand_price = switch.ondemand_price or samples.ondemand
    if switch.old_mode == "spot":
        known = report.old_spot_price or switch.old_spot_price
        switch.old_spot_price = known or samples.spot.get(switch.old_pool_id)
    if switch.new_mode == "spot":
        known = report.new_spot_price or switch.new_spot_price
        switch.new_spot_price = known or samples.spot.get(switch.new_pool_id)
    if switch.is_anomalous:
        return
    before = _hourly(switch.old_mode, switch.old_spot_price, switch.ondemand_price)
    after = _hourly(switch.new_mode, switch.new_spot_price, switch.ondemand_price)
    if before is not None and after is not None:
        switch.savings_impact = before - after


def _hourly(mode: str, spot: Decimal | None, ondemand: Decimal | None) -> Decimal | None:
    return {"spot": spot, "ondemand": ondemand}.get(mode)


def _announce(switch: Switch, agent: Agent) -> None:
    text = f"{agent.logical_agent_id} moved from {switch.old_instance_id} ({switch.old_mode}) to "
    text += f"{switch.new_instance_id} ({switch.new_mode} {switch.new_pool_id})".replace(" )", ")")
    impact = None if switch.savings_impact is None else float(switch.savings_impact)
    emit(
        event_type="switch_completed",
        severity="warning" if switch.is_anomalous else "info",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=switch.new_instance_id,
        message=text,
        metadata={"switch_id": switch.public_id, "savings_impact": impact, "trigger": switch.trigger},
    )
    if not switch.is_anomalous:
        notify(client=agent.client, notification_type="switch_completed", message=text, agent_id=agent.public_id)
