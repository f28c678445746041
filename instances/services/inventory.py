"""v5's inventory: every instance of the account in the region, of which only this agent's own concern us."""

from datetime import timedelta
from typing import Any

from agents.models import Agent
from agents.services.commands import lock_agent
from instances.models import Instance
from instances.services import launches, roles
from spotopt.common import clock, wire
from spotopt.common.db import retried_transaction

Status = Instance.Status
SETTLING = timedelta(minutes=2)  # EC2 lists a new instance with some delay
SNAPSHOTS_UNTIL_GONE = 2


class Entry(wire.WireSerializer):
    """An instance of the snapshot; its tags are other people's and are not kept."""

    instance_id = wire.Identifier()
    state = wire.Text(max_length=32)
    az = wire.Text(max_length=48)
    instance_type = wire.Text(max_length=64)
    pool = wire.Text(max_length=128)
    private_ip = wire.IPAddress()
    public_ip = wire.IPAddress()


def apply(*, agent: Agent, own_id: str, snapshot: dict[str, Any]) -> bool:
    """Bring this agent's instances up to date. A failed or foreign snapshot says nothing (agent-api 3.2).

    True when the same snapshot can bring nothing new later either, unless something else changes.
    """
    listed = _listed(snapshot)
    if snapshot.get("error") or own_id not in listed:
        return True
    own = list(Instance.objects.filter(agent=agent).alive())
    is_news = any(_is_news(instance, listed, own_id) for instance in own)
    if is_news:
        _apply_news(agent=agent, own_id=own_id, listed=listed)
    return not is_news and all(instance.instance_id in listed for instance in own)


def _listed(snapshot: dict[str, Any]) -> dict[str, dict[str, Any]]:
    entries = snapshot.get("instances")
    parsed = [Entry().parse(e) for e in entries] if isinstance(entries, list) else []
    return {e["instance_id"]: e for e in parsed if e["instance_id"]}


def _is_news(instance: Instance, listed: dict[str, dict[str, Any]], own_id: str) -> bool:
    entry = listed.get(instance.instance_id)
    if entry is None:
        return instance.instance_id != own_id and _should_be_listed(instance)
    return (
        instance.missing_snapshots > 0
        or instance.mode == "unknown"
        or instance.status == Status.LAUNCHING
        or any(entry[name] and entry[name] != getattr(instance, name) for name in ("private_ip", "public_ip"))
        or any(entry[name] and not getattr(instance, name) for name in ("az", "instance_type"))
    )


@retried_transaction
def _apply_news(*, agent: Agent, own_id: str, listed: dict[str, dict[str, Any]]) -> None:
    agent = lock_agent(agent.pk)
    for instance in Instance.objects.filter(agent=agent).alive().order_by("pk"):
        if entry := listed.get(instance.instance_id):
            _update(agent, instance, entry)
        elif instance.instance_id != own_id and _should_be_listed(instance):
            _count_missing(instance)


def _should_be_listed(instance: Instance) -> bool:
    """A launch without an EC2 id, or one that EC2 may not list yet, is not missed."""
    confirmed = instance.launch_confirmed_at
    return confirmed is not None and clock.now() - confirmed > SETTLING


def _update(agent: Agent, instance: Instance, entry: dict[str, Any]) -> None:
    for name in ("private_ip", "public_ip"):
        setattr(instance, name, entry[name] or getattr(instance, name))
    instance.missing_snapshots = 0
    instance.save(update_fields=["private_ip", "public_ip", "missing_snapshots"])
    instance.agent = agent
    mode = "spot" if entry["pool"] else "ondemand"
    roles.learn_facts(instance=instance, mode=mode, instance_type=entry["instance_type"], az=entry["az"])
    if instance.status == Status.LAUNCHING and entry["state"] == "running":
        launches.confirm_by_evidence(agent=agent, instance=instance, at=clock.now())


def _count_missing(instance: Instance) -> None:
    instance.missing_snapshots += 1
    instance.save(update_fields=["missing_snapshots"])
    if instance.missing_snapshots >= SNAPSHOTS_UNTIL_GONE:
        roles.mark_terminated(instance=instance, at=clock.now(), reason="missing from two inventories")
