from typing import Any

from instances.services.terminations import sweep
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Close reclaimed and vanished instances, give up dead launches, order v5 agents to terminate zombies."
    interval_seconds = 15

    def run(self, **options: Any) -> str:
        return ", ".join(f"{count} {what}" for what, count in sweep().items())
