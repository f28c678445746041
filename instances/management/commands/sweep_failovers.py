import logging
from typing import Any

from instances.selectors.endangered import agents_to_sweep
from instances.services.failover import sweep_agent
from spotopt.common import clock
from spotopt.common.commands import JobCommand

log = logging.getLogger(__name__)


class Command(JobCommand):
    help = "Complete failovers, take over from dead primaries, retire and replace standbys."
    interval_seconds = 5

    def run(self, **options: Any) -> str:
        agents = agents_to_sweep(at=clock.now())
        failed_over = sum(_sweep(agent_pk) for agent_pk in agents)
        return f"{len(agents)} agents looked at, {failed_over} failed over"


def _sweep(agent_pk: int) -> bool:
    """One agent's trouble must not keep the others waiting."""
    try:
        return sweep_agent(agent_pk=agent_pk)
    except Exception:
        log.exception("the failover sweep of agent %s failed", agent_pk)
        return False
