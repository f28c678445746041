from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError

from spotopt.common import clock
from spotopt.common.commands import JobCommand, StopSignal, run_and_log

# All periodic jobs of the server, the urgent ones first. Each is a command of its own, with its own interval.
JOBS = ["sweep_failovers", "expire_commands", "sweep_terminations", "sweep_agents", "roll_up_ledger", "prune_history"]


class Command(BaseCommand):
    help = "Run all periodic jobs, each at its own interval, until SIGTERM or Ctrl-C. Several copies do no harm."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one round of every job, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.ENABLE_BACKGROUND_JOBS:
            self.stdout.write("ENABLE_BACKGROUND_JOBS is false: no jobs run here.")
            return
        jobs = [load_job(name) for name in JOBS]
        if options["once"]:
            failed = [job.name for job in jobs if not run_and_log(job)]
            if failed:
                raise CommandError(f"failed: {', '.join(failed)} (the log says why)")
            return
        self.stdout.write(f"Running {', '.join(JOBS)}")
        repeat(jobs, StopSignal())


def repeat(jobs: list[JobCommand], stop: StopSignal) -> None:
    """Intervals count from the end of a round, by the server's clock."""
    ended: dict[str, datetime] = {}
    while not stop.requested:
        for job in jobs:
            if not stop.requested and seconds_left(job, ended.get(job.name)) <= 0:
                run_and_log(job)
                ended[job.name] = clock.now()
        stop.sleep(max(0.0, min(seconds_left(job, ended.get(job.name)) for job in jobs)))


def seconds_left(job: JobCommand, ended_at: datetime | None) -> float:
    """0 also when the clock was set back: a simulation started afresh."""
    if ended_at is None:
        return 0.0
    passed = (clock.now() - ended_at).total_seconds()
    return job.interval_seconds - passed if passed >= 0 else 0.0


def load_job(name: str) -> JobCommand:
    app = get_commands()[name]
    job = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    if not isinstance(job, JobCommand):
        raise CommandError(f"{name} is no periodic job")
    return job
