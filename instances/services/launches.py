"""Launches through a v5 agent: asked for under a temporary id, confirmed by call, result, inventory or registration.

LAUNCH_INSTANCE → instance-launched → action-result (agent-api 3.8, 3.9, 3.33, 4.9). Any of the confirmations may be
missing, late or first; each is enough, and repeats change nothing.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from agents.models import Agent, Command
from agents.services.commands import conclude, enqueue
from instances.models import Instance, InstanceAlias
from instances.services import binding, merging, roles, switching
from instances.services.launch_failures import record_failure
from notifications.services import emit, notify
from spotopt.common import clock

Status, Type, Purpose = Instance.Status, Command.Type, Command.Purpose


@dataclass(frozen=True)
class LaunchSpec:
    """What to launch. `az` must be the agent's own: v5 always uses its own subnet (agent-api C19)."""

    instance_type: str
    az: str
    mode: str
    role: str  # primary or replica

    @property
    def pool_id(self) -> str:
        return roles.pool_of(mode=self.mode, instance_type=self.instance_type, az=self.az)


def request_launch(*, agent: Agent, spec: LaunchSpec, purpose: str, created_by: str, reason: str) -> Command:
    """Queue a LAUNCH_INSTANCE and show the instance as `launching`. The caller holds the agent's lock."""
    now = clock.now()
    temporary_id = f"i-pending-{secrets.token_hex(4)}"
    params = {"instance_type": spec.instance_type, "az": spec.az, "role_hint": spec.role}
    if spec.mode == "spot":
        params["target_pool"] = f"spot.{spec.pool_id}"  # v5 buys spot only if the text says so (agent-api C7)
    command = enqueue(
        agent=agent,
        command_type=Type.LAUNCH_INSTANCE,
        purpose=purpose,
        priority=Command.Priority.EMERGENCY,
        instance_id=agent.instance_id,
        target_mode=spec.mode,
        target_pool_id=spec.pool_id,
        terminate_wait_seconds=agent.effective_wait_seconds,
        params=params,
        metadata={"temporary_instance_id": temporary_id},
        created_by=created_by,
        reason=reason,
    )
    Instance.objects.create(
        client_id=agent.client_id,
        agent=agent,
        instance_id=temporary_id,
        status=Status.LAUNCHING,
        mode=spec.mode,
        instance_type=spec.instance_type,
        region=agent.region,
        az=spec.az,
        pool_id=spec.pool_id,
        role_hint=spec.role,
        command_id=command.public_id,
        launch_requested_at=now,
        ledger_from=now,
        created_at=now,
    )
    emit(
        event_type="instance_launch_requested",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=temporary_id,
        actor=created_by,
        message=f"Launch of a {spec.instance_type} in {spec.az} ({spec.mode}) requested",
        metadata={
            "command_id": command.public_id,
            "role_hint": spec.role,
            "instance_type": spec.instance_type,
            "target_mode": spec.mode,
            "az": spec.az,
        },
    )
    return command


def confirm(*, agent: Agent, placeholder: Instance, instance_id: str, at: datetime) -> Instance:
    """EC2 runs it: bind the real id and give the instance its role. The caller holds the agent's lock."""
    instance = bind(agent=agent, placeholder=placeholder, instance_id=instance_id, at=at)
    confirm_by_evidence(agent=agent, instance=instance, at=at)
    return instance


def bind(*, agent: Agent, placeholder: Instance, instance_id: str, at: datetime) -> Instance:
    """The temporary row takes the real id, or is folded into the row of an agent that registered first (9.6)."""
    if placeholder.instance_id == instance_id:
        return placeholder
    if placeholder.status == Status.TERMINATED:  # given up for want of an answer, and here it is after all
        placeholder.status, placeholder.terminated_at, placeholder.termination_reason = Status.LAUNCHING, None, ""
        placeholder.save(update_fields=["status", "terminated_at", "termination_reason"])
    real = Instance.objects.filter(client_id=agent.client_id, instance_id=instance_id).select_related("agent").first()
    if real is None:
        alias, placeholder.instance_id = placeholder.instance_id, instance_id
        placeholder.save(update_fields=["instance_id"])
        _remember(placeholder, alias)
        return placeholder
    if real.agent_id != agent.pk:
        merging.bring_under(agent=agent, instance=real, at=at)
    for name in ("role_hint", "command_id", "launch_requested_at"):
        setattr(real, name, getattr(placeholder, name))
    real.save(update_fields=["role_hint", "command_id", "launch_requested_at"])
    roles.learn_facts(instance=real, mode=placeholder.mode, instance_type=placeholder.instance_type, az=placeholder.az)
    alias = placeholder.instance_id
    placeholder.delete()
    _remember(real, alias)
    return real


def confirm_by_evidence(*, agent: Agent, instance: Instance, at: datetime) -> None:
    """A launching instance is seen running: by the launcher, in the inventory, or because it registered itself."""
    if instance.status != Status.LAUNCHING:
        return
    instance.launch_confirmed_at = instance.launch_confirmed_at or at
    instance.save(update_fields=["launch_confirmed_at"])
    command = Command.objects.filter(public_id=instance.command_id).first() if instance.command_id else None
    if instance.role_hint != "primary":
        roles.attach_standby(agent=agent, instance=instance, at=at)
        binding.bind_launched(agent=agent, instance=instance, at=at)
    elif command and command.instance_id != agent.instance_id and command.purpose == Purpose.SWITCH:
        roles.make_zombie(instance=instance, at=at)  # too late: the workload has moved on since
    elif command and command.purpose == Purpose.SWITCH and roles.primary_of(agent):
        switching.conclude_by_registration(agent=agent, instance=instance, command=command, at=at)
        _tag_as_primary(agent, instance, old_instance_id=command.instance_id)
    else:
        roles.make_primary(agent=agent, instance=instance, at=at)
    if command:
        conclude(command=command, succeeded=True, message=f"{instance.instance_id} is running")
    _announce(agent, instance, at)


def fail(*, agent: Agent, placeholder: Instance, reason: str, at: datetime) -> None:
    record_failure(agent=agent, pool_id=placeholder.pool_id, message=reason, at=at)
    roles.mark_terminated(instance=placeholder, at=at, reason=f"launch failed: {reason}")
    notify(
        client=agent.client,
        notification_type="launch_failed",
        severity="error",
        message=f"Launch of a {placeholder.instance_type} in {placeholder.az} failed: {reason}",
        agent_id=agent.public_id,
    )


def placeholder_of(agent: Agent, temporary_id: str, request_id: str) -> Instance | None:
    """The row a launch was announced under, by temporary id, alias or command."""
    own = Instance.objects.filter(client_id=agent.client_id, agent=agent)
    if temporary_id and (found := own.filter(instance_id=temporary_id).first()):
        return found
    alias = InstanceAlias.objects.filter(client_id=agent.client_id, alias=temporary_id, instance__agent=agent)
    if temporary_id and (known := alias.select_related("instance").first()):
        return known.instance
    command = Command.objects.filter(agent=agent, request_id=request_id).first() if request_id else None
    return launched_by(command) if command else None


def launched_by(command: Command) -> Instance | None:
    return Instance.objects.filter(client_id=command.client_id, command_id=command.public_id).first()


def _remember(instance: Instance, alias: str) -> None:
    InstanceAlias.objects.get_or_create(client_id=instance.client_id, alias=alias, defaults={"instance": instance})


def _tag_as_primary(agent: Agent, instance: Instance, *, old_instance_id: str) -> None:
    """v5 keeps the role in EC2 tags as well."""
    enqueue(
        agent=agent,
        command_type=Type.PROMOTE_REPLICA_TO_PRIMARY,
        priority=Command.Priority.EMERGENCY,
        instance_id=instance.instance_id,
        params={"replica_instance_id": instance.instance_id, "old_primary_id": old_instance_id},
    )


def _announce(agent: Agent, instance: Instance, at: datetime) -> None:
    since = instance.launch_requested_at
    text = f"{instance.instance_id} is running ({instance.mode}, {instance.status})"
    emit(
        event_type="instance_launch_confirmed",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        message=text,
        metadata={
            "launch_duration_seconds": int((at - since).total_seconds()) if since else None,
            "final_status": instance.status,
            "instance_type": instance.instance_type or None,
            "az": instance.az or None,
        },
    )
    notify(
        client=agent.client,
        notification_type="instance_launched",
        severity="success",
        message=text,
        agent_id=agent.public_id,
    )
