"""POST /api/agents/{id}/heartbeat (agent-api 3.2). A heartbeat never changes which instance is the primary."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agents.attribution import Caller
from agents.models import Agent
from agents.services.commands import lock_agent
from agents.services.status import announce
from instances.models import Instance
from instances.services import inventory, roles
from spotopt.common import clock
from spotopt.common.db import retried, retried_transaction

Status = Agent.Status
GOODBYE_GRACE = timedelta(seconds=60)

# What agents and documents say → what it means (agent-api 2.1); anything else counts as online.
SAID = {
    "offline": Status.OFFLINE,
    "stopped": Status.OFFLINE,
    "terminated": Status.OFFLINE,
    "disabled": Status.DISABLED,
}


@dataclass(frozen=True)
class Heard:
    status: str  # the agent's
    role: str  # the caller's: primary, replica or zombie
    is_unchanged: bool = False  # the heartbeat was a sign of life and nothing else


@retried
def record_heartbeat(
    *, agent: Agent, caller: Caller, status: str, az: str = "", instance_type: str = "", mode: str = "unknown"
) -> Heard:
    """Note the sign of life. One UPDATE when the primary says nothing new."""
    if caller.is_primary_of(agent):
        told = {"az": az, "instance_type": instance_type, "mode": mode}
        heard_as = _hear_primary(agent, caller, status, told)
        return Heard(heard_as, "primary", heard_as == agent.status and heard_as in Agent.HEARD)
    return Heard(agent.status, touch_instance(client_id=agent.client_id, instance_id=caller.instance_id))


def _hear_primary(agent: Agent, caller: Caller, status: str, told: dict[str, str]) -> str:
    said = SAID.get(status, Status.ONLINE)
    if said == Status.OFFLINE:
        return say_goodbye(agent=agent, caller=caller)
    if agent.status == Status.SWITCHING:
        said = Status.SWITCHING  # ends with the command (agent-api 2.1)
    learn_about_primary(agent=agent, **told)
    now = clock.now()
    # Conditional, so that a heartbeat revives no agent that was just deleted or moved.
    if said == agent.status and Agent.objects.hear({(agent.pk, agent.instance_id): now}):
        return agent.status
    return _change_status(agent=agent, caller=caller, status=said, at=now)


@retried_transaction
def say_goodbye(*, agent: Agent, caller: Caller, reason: str = "the agent stopped") -> str:
    """`offline` counts only from the primary; v4's carries no id, and the old host says it too after a switch."""
    agent = lock_agent(agent.pk)
    if caller.is_primary_of(agent) and not (caller.source == "unknown" and _others_heard(agent)):
        go_offline(agent=agent, reason=reason)
    return agent.status


def go_offline(*, agent: Agent, reason: str) -> None:
    """Told once. The caller holds the agent's lock."""
    if agent.status in (Status.OFFLINE, Status.DELETED):
        return
    announce(agent=agent, old_status=agent.status, new_status=Status.OFFLINE, reason=reason)
    agent.status = Status.OFFLINE
    agent.save(update_fields=["status"])


def touch_instance(*, client_id: int, instance_id: str) -> str:
    """A standby's or zombie's sign of life; its role. One that counts as terminated is evidently alive (2.2)."""
    instances = Instance.objects.filter(client_id=client_id, instance_id=instance_id)
    status = instances.values_list("status", flat=True).first()
    if status == Instance.Status.TERMINATED:
        _revive_as_zombie(client_id=client_id, instance_id=instance_id)
    instances.update(last_seen_at=clock.now())
    return "zombie" if status in Instance.GONE else "replica"


@retried_transaction
def _revive_as_zombie(*, client_id: int, instance_id: str) -> None:
    instance = Instance.objects.select_related("agent").get(client_id=client_id, instance_id=instance_id)
    if instance.agent_id:
        lock_agent(instance.agent_id)
        instance.refresh_from_db()
    if instance.status == Instance.Status.TERMINATED:
        roles.make_zombie(instance=instance, at=clock.now())


def learn_about_primary(*, agent: Agent, az: str, instance_type: str, mode: str) -> None:
    """What the primary says about itself, where it was unknown; nulls are no news, and contradictions neither (1.7)."""
    is_news = (
        (az and not agent.az)
        or (instance_type and not agent.instance_type)
        or (mode != "unknown" and agent.current_mode == "unknown")
    )
    if is_news:
        _learn(agent_pk=agent.pk, az=az, instance_type=instance_type, mode=mode)


@retried_transaction
def _learn(*, agent_pk: int, az: str, instance_type: str, mode: str) -> None:
    if primary := roles.primary_of(lock_agent(agent_pk)):
        roles.learn_facts(instance=primary, az=az, instance_type=instance_type, mode=mode)


@retried_transaction
def _change_status(*, agent: Agent, caller: Caller, status: str, at: datetime) -> str:
    agent = lock_agent(agent.pk)
    if agent.is_deleted or not caller.is_primary_of(agent):
        return agent.status
    if agent.status == Status.SWITCHING:
        status = Status.SWITCHING
    if agent.status != status:
        announce(agent=agent, old_status=agent.status, new_status=status)
    Agent.objects.filter(pk=agent.pk).update(status=status, last_heartbeat_at=at)
    return status


def _others_heard(agent: Agent) -> bool:
    """Another instance of this agent spoke within a minute, so the goodbye may have been the old host's."""
    since = clock.now() - GOODBYE_GRACE
    others = Instance.objects.filter(agent=agent).exclude(instance_id=agent.instance_id)
    return others.filter(last_seen_at__gt=since).exists()


def record_inventory(*, agent: Agent, caller: Caller, snapshot: dict[str, Any]) -> bool:
    """True when this snapshot says nothing new, now and later."""
    return inventory.apply(agent=agent, own_id=caller.instance_id or agent.instance_id, snapshot=snapshot)


def may_reconnect(*, agent: Agent, peer: str) -> bool:
    """A v5 agent restarted with an id from its disk, which may be another machine's (agent-api 3.2, 4.8).

    False answers it 404: it then registers with its real instance id, which is always safe.
    """
    primary = roles.primary_of(agent)
    if primary is None:
        return False
    addresses = {primary.private_ip, primary.public_ip} - {""}
    return not addresses or peer in addresses
