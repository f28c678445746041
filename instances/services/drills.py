"""Rehearsals: the same code path as a real interruption, marked, and never counted as one."""

from dataclasses import dataclass
from datetime import timedelta

from agents.models import Agent
from instances.models import InterruptionEpisode
from instances.services import failover
from instances.services.failover import Outcome
from spotopt.common import clock
from spotopt.common.errors import Conflict

NOTICE = timedelta(seconds=120)


@dataclass(frozen=True)
class Drill:
    episode: InterruptionEpisode
    outcome: Outcome


def start_drill(*, agent: Agent) -> Drill:
    """As if AWS took the primary back in two minutes; afterwards the old primary is an ordinary zombie.

    Raises Conflict where there is nothing to rehearse, or a real interruption is under way.
    """
    if agent.is_deleted or not agent.enabled or not agent.instance_id:
        raise Conflict(f"{agent.logical_agent_id} has no primary that could be interrupted")
    opened = InterruptionEpisode.objects.filter(agent=agent, status__in=InterruptionEpisode.OPEN)
    if opened.exists():
        raise Conflict(f"{agent.logical_agent_id} is being interrupted already")
    instance_id = agent.instance_id
    outcome = failover.record_termination_notice(
        agent=agent, instance_id=instance_id, deadline=clock.now() + NOTICE, is_drill=True
    )
    drills = InterruptionEpisode.objects.filter(agent=agent, instance_id=instance_id, is_drill=True)
    return Drill(drills.select_related("agent", "replica").latest("id"), outcome)
