from typing import Any

from agents.services.sweeps import mark_silent_agents_offline
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Mark agents offline whose last heartbeat is older than AGENT_HEARTBEAT_TIMEOUT seconds."
    interval_seconds = 15

    def run(self, **options: Any) -> str:
        return f"{mark_silent_agents_offline()} agents went offline"
