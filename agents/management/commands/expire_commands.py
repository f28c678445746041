from typing import Any

from agents.services.commands import expire_overdue
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Close orders that no agent fetched, or that ended without a result in time."
    interval_seconds = 15

    def run(self, **options: Any) -> str:
        return f"{expire_overdue()} commands expired or failed"
