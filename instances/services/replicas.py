"""Standbys. This part only recognises them when they register; asking for and promoting them comes with failover."""

from datetime import datetime

from agents.models import Agent, Command
from instances.models import Instance, Replica


def expects(*, agent: Agent, instance: Instance) -> bool:
    """R6: a standby that fits was asked for, or v4 was just told to launch one."""
    ordered = Command.objects.filter(
        agent=agent, command_type=Command.Type.CREATE_REPLICA, status=Command.Status.DELIVERED
    )
    return _fitting(agent, instance) is not None or ordered.exists()


def bind_registered(*, agent: Agent, instance: Instance, at: datetime) -> None:
    """The binding PUT may have been lost; a registration proves the instance just as well (agent-api 9.1)."""
    replica = _fitting(agent, instance)
    if replica is None:
        return
    replica.instance_id = instance.instance_id
    replica.launched_at = replica.launched_at or at
    replica.claimed_by, replica.claimed_until = "", None
    replica.save(update_fields=["instance_id", "launched_at", "claimed_by", "claimed_until"])


def _fitting(agent: Agent, instance: Instance) -> Replica | None:
    wanted = Replica.objects.active().unbound().filter(agent=agent).order_by("id")
    return next(
        (r for r in wanted if _fits(r.az, instance.az) and _fits(r.instance_type, instance.instance_type)),
        None,
    )


def _fits(wanted: str, found: str) -> bool:
    return not wanted or not found or wanted == found
