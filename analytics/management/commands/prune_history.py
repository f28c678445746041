from typing import Any

from analytics.services.retention import prune
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Delete what is older than its retention: prices, events, notifications, ended commands and others."
    interval_seconds = 3600
    can_dry_run = True

    def run(self, **options: Any) -> str:
        counts = prune(dry_run=options["dry_run"])
        listed = ", ".join(f"{table} {number}" for table, number in counts.items())
        return f"{'would delete' if options['dry_run'] else 'deleted'}: {listed or 'nothing'}"
