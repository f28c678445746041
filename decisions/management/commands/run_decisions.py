from typing import Any

from decisions.services.rounds import run_round
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Evaluate the fleet: decision records for all agents, orders for those with auto-switch on."
    interval_seconds = 15

    def run(self, **options: Any) -> str:
        return str(run_round())
