from typing import Any

from analytics.services.ledger import roll_up
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Compute what instances cost and would have cost on-demand, hour by hour, where anything is new."
    interval_seconds = 60

    def run(self, **options: Any) -> str:
        return str(roll_up())
