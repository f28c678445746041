import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError

from spotopt.common.commands import JobCommand, StopSignal
from spotopt.common.job_leases import Leases

# All periodic jobs of the server. Each is a command of its own, with its own interval.
JOBS = [
    "sweep_failovers",
    "expire_commands",
    "sweep_terminations",
    "sweep_agents",
    "run_decisions",
    "deliver_notifications",
    "roll_up_ledger",
    "roll_up_shadows",
    "prune_history",
]
LOOK_SECONDS = 0.2


class Command(BaseCommand):
    help = "Run all periodic jobs, each at its own interval, until SIGTERM or Ctrl-C. Several copies share them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one round of every job here and now, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.ENABLE_BACKGROUND_JOBS:
            self.stdout.write("ENABLE_BACKGROUND_JOBS is false: no jobs run here.")
            return
        jobs = [load_job(name) for name in JOBS]
        if options["once"]:
            run_each(jobs)
        else:
            self.stdout.write(f"Running {', '.join(JOBS)}")
            repeat_all(jobs, StopSignal())


def run_each(jobs: list[JobCommand]) -> None:
    failed = [job.name for job in jobs if not job.run_and_log()]
    if failed:
        raise CommandError(f"failed: {', '.join(failed)} (the log says why)")


def repeat_all(jobs: list[JobCommand], stop: StopSignal) -> None:
    """A thread each: a failover must not wait until a large clean-up is done."""
    with Leases([job.name for job in jobs]).kept() as leases:
        threads = [threading.Thread(target=job.repeat, args=[stop, leases], name=job.name) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(LOOK_SECONDS)  # a bare join would keep signals from being heard


def load_job(name: str) -> JobCommand:
    app = get_commands()[name]
    job = app if isinstance(app, BaseCommand) else load_command_class(app, name)
    if not isinstance(job, JobCommand):
        raise CommandError(f"{name} is no periodic job")
    return job
