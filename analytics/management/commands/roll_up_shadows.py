from typing import Any

from analytics.services.shadows import roll_up
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Compute what following the recommendations would have cost, for agents that are not in auto mode."
    interval_seconds = 600

    def run(self, **options: Any) -> str:
        return f"{roll_up()} agents"
