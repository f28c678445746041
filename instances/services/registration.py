"""POST /api/agents/register: who is this, and what is it to us? The decision table R1–R12 of agent-api 3.1.

It stands here and not in `agents`, because all of it is about which instance is the primary.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from agents.models import Agent
from agents.services.commands import lock_agent
from agents.services.status import announce
from clients.models import Client
from instances.models import Instance
from instances.services import binding, failover, launches, merging, replicas, roles, switching
from notifications.services import emit, notify
from spotopt.common import clock
from spotopt.common.db import retried_transaction

log = logging.getLogger(__name__)

Status = Instance.Status
TAKEOVER_WINDOW = timedelta(minutes=10)
MAX_TAKEOVERS = 2


@dataclass(frozen=True)
class Registration:
    logical_agent_id: str
    instance_id: str
    instance_type: str = ""
    region: str = ""
    az: str = ""
    ami_id: str = ""
    hostname: str = ""
    agent_version: str = ""
    mode: str = "unknown"
    private_ip: str = ""
    public_ip: str = ""
    protocol: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_unconfigured(self) -> bool:
        """No logical id was configured, so the agent calls itself by its instance."""
        return self.logical_agent_id == self.instance_id

    @property
    def pool_id(self) -> str:
        return roles.pool_of(mode=self.mode, instance_type=self.instance_type, az=self.az)


@dataclass(frozen=True)
class Registered:
    agent: Agent
    instance: Instance
    role: str  # primary, replica or zombie


@retried_transaction
def register(*, client: Client, body: Registration) -> Registered:
    """Idempotent: concurrent duplicates converge on one agent through the unique live logical id."""
    now = clock.now()
    agent, is_new = _find_or_create_agent(client, body, now)
    agent = lock_agent(agent.pk)
    instance = _instance_of(client, body)  # again, under the lock: another call may just have changed its role
    if instance is None:
        _warn_of_clash(client, body)
        instance = _create_instance(agent, body, now)
        _give_role(agent, instance, now)
    elif instance.agent_id != agent.pk:
        merging.bring_under(agent=agent, instance=instance, at=now)
        if not instance.is_gone:
            _give_role(agent, instance, now)
    role = _settle(agent, instance, body, now)
    if role == "replica" and failover.pursue(agent=agent, at=now):  # perhaps the standby that is waited for
        instance.refresh_from_db()
        role = "primary" if instance.is_primary else role
    emit(
        event_type="agent_registered",
        client=client,
        agent_id=agent.public_id,
        instance_id=body.instance_id,
        message=f"{body.hostname or body.logical_agent_id} registered as {role}",
        metadata={"role": role, "agent_version": body.agent_version},
    )
    if is_new:
        _welcome(agent, body)
    return Registered(Agent.objects.with_counts().select_related("client").get(pk=agent.pk), instance, role)


def _find_or_create_agent(client: Client, body: Registration, now: datetime) -> tuple[Agent, bool]:
    if agent := _living(client, body.logical_agent_id):
        return agent, False
    if owner := _owner_of_instance(client, body):
        return owner, False
    if successor_of := switching.expecting_unconfigured_successor(client=client, body=body, at=now):
        return successor_of, False
    try:
        with transaction.atomic():
            return _create_agent(client, body, now), True  # R1, R10
    except IntegrityError:
        agent = _living(client, body.logical_agent_id)
        if agent is None:
            raise
        return agent, False


def _living(client: Client, logical_agent_id: str) -> Agent | None:
    return Agent.objects.filter(client=client, live_logical_id=logical_agent_id).first()


def _owner_of_instance(client: Client, body: Registration) -> Agent | None:
    """R9 and R12: the logical id is new, but the instance is already somebody's."""
    instance = _instance_of(client, body)
    owner = instance.agent if instance else None
    if owner is None or owner.is_deleted or instance is None:
        return None
    if body.is_unconfigured or not instance.is_primary:
        return owner  # adopt (R9); an obsolete or standby host gains nothing from a new name
    if owner.logical_agent_id == body.instance_id:
        Agent.objects.filter(pk=owner.pk).update(logical_agent_id=body.logical_agent_id)  # R12: it got its name now
        return owner
    return None  # R12: a new agent takes the instance over; see merging.bring_under


def _create_agent(client: Client, body: Registration, now: datetime) -> Agent:
    return Agent.objects.create(
        client=client,
        logical_agent_id=body.logical_agent_id,
        protocol=body.protocol,
        hostname=body.hostname,
        agent_version=body.agent_version,
        metadata=body.metadata,
        last_heartbeat_at=now,
        auto_switch_enabled=client.default_auto_switch_enabled,
        auto_terminate_enabled=client.default_auto_terminate_enabled,
        terminate_wait_seconds=client.default_terminate_wait_seconds,
    )


def _instance_of(client: Client, body: Registration) -> Instance | None:
    known = Instance.objects.filter(client=client, instance_id=body.instance_id)
    return known.select_related("agent").first()


def _give_role(agent: Agent, instance: Instance, now: datetime) -> None:
    """An instance that is new to `agent` registers for it: R1 and R5–R8."""
    primary = roles.primary_of(agent)
    if primary is None:
        roles.make_primary(agent=agent, instance=instance, at=now)  # R1, or the previous one is gone for good
    elif command := switching.expected_by(agent=agent, instance=instance, at=now):
        switching.conclude_by_registration(agent=agent, instance=instance, command=command, at=now)  # R5
    elif replicas.expects(agent=agent, instance=instance):
        roles.attach_standby(agent=agent, instance=instance, at=now)  # R6
        binding.bind_registered(agent=agent, instance=instance, at=now)
    elif agent.is_silent(at=now):
        roles.make_primary(agent=agent, instance=instance, at=now)  # R7
        roles.retire_orders(agent=agent, reason="The instance was replaced")
    else:
        _unexpected_takeover(agent, instance, primary, now)  # R8


def _create_instance(agent: Agent, body: Registration, now: datetime) -> Instance:
    return Instance.objects.create(
        client_id=agent.client_id,
        agent=agent,
        instance_id=body.instance_id,
        status=Status.LAUNCHING,  # a role is given in the same transaction
        mode=body.mode,
        instance_type=body.instance_type,
        region=body.region,
        az=body.az,
        pool_id=body.pool_id,
        ami_id=body.ami_id,
        private_ip=body.private_ip,
        public_ip=body.public_ip,
        last_seen_at=now,
        launch_confirmed_at=now,
        ledger_from=now,
        created_at=now,
    )


def _unexpected_takeover(agent: Agent, instance: Instance, primary: Instance, now: datetime) -> None:
    """R8: nothing was expected and the primary is alive. The newcomer wins, unless this happens again and again."""
    if agent.takeover_window_at is None or now - agent.takeover_window_at > TAKEOVER_WINDOW:
        agent.takeover_window_at, agent.takeover_count = now, 0
    agent.takeover_count += 1
    agent.save(update_fields=["takeover_window_at", "takeover_count"])
    if agent.takeover_count > MAX_TAKEOVERS:
        roles.attach_standby(agent=agent, instance=instance, at=now)
        text = f"Several instances register as {agent.logical_agent_id}: {primary.instance_id} stays primary"
    else:
        roles.make_primary(agent=agent, instance=instance, at=now, hold_old=True)
        roles.retire_orders(agent=agent, reason="The instance was replaced")
        text = (
            f"{instance.instance_id} took over {agent.logical_agent_id} from {primary.instance_id}, which is alive. "
            f"It is not terminated until an operator releases it"
        )
    notify(
        client=agent.client,
        notification_type="unexpected_takeover",
        severity="warning",
        message=text,
        agent_id=agent.public_id,
    )


def _settle(agent: Agent, instance: Instance, body: Registration, now: datetime) -> str:
    """Note what the caller told about itself and say what it is (R2–R4)."""
    _refresh_instance(instance, body, now)
    if instance.status == Status.LAUNCHING:
        launches.confirm_by_evidence(agent=agent, instance=instance, at=now)
    if instance.status == Status.TERMINATED:
        roles.make_zombie(instance=instance, at=now)  # evidently alive (R4)
    if instance.is_gone:
        return "zombie"
    if not instance.is_primary:
        return "replica"
    _refresh_agent(agent, instance, body, now)
    return "primary"


def _refresh_instance(instance: Instance, body: Registration, now: datetime) -> None:
    told = {name: value for name in ("region", "ami_id", "private_ip", "public_ip") if (value := getattr(body, name))}
    for name, value in told.items():
        setattr(instance, name, value)
    instance.last_seen_at = now
    instance.save(update_fields=[*told, "last_seen_at"])
    roles.learn_facts(instance=instance, mode=body.mode, instance_type=body.instance_type, az=body.az, may_correct=True)


def _refresh_agent(agent: Agent, instance: Instance, body: Registration, now: datetime) -> None:
    """R2: a restart of the primary. `switching` ends with its command, so it is kept."""
    roles.point_agent_at(agent=agent, instance=instance)
    agent.last_heartbeat_at = now
    agent.hostname = body.hostname or agent.hostname
    agent.agent_version = body.agent_version or agent.agent_version
    agent.protocol = body.protocol or agent.protocol
    agent.metadata = agent.metadata | body.metadata
    fields = ["last_heartbeat_at", "hostname", "agent_version", "protocol", "metadata"]
    if agent.status != Agent.Status.SWITCHING:
        old_status, agent.status = agent.status, Agent.Status.ONLINE if agent.enabled else Agent.Status.DISABLED
        fields.append("status")
        if agent.status != old_status:
            announce(agent=agent, old_status=old_status, new_status=agent.status)
    agent.save(update_fields=fields)


def _warn_of_clash(client: Client, body: Registration) -> None:
    """R11: another client has an instance of this name. Ours is a different one; somebody should know, though."""
    if Instance.objects.filter(instance_id=body.instance_id).exclude(client=client).exists():
        emit(
            event_type="instance_id_clash",
            severity="warning",
            client=client,
            instance_id=body.instance_id,
            message=f"Instance id {body.instance_id} is also registered by another client",
        )


def _welcome(agent: Agent, body: Registration) -> None:
    notify(
        client=agent.client,
        notification_type="new_agent",
        message=f"New agent {body.hostname or body.logical_agent_id} on {body.instance_id}",
        agent_id=agent.public_id,
    )
