"""The base of every background job: once for cron and tests, `--loop` for a service unit of its own."""

import logging
import signal
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from spotopt.common import clock, job_runs
from spotopt.common.job_leases import RENEW_SECONDS, Leases

log = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.1  # real seconds between two looks at the clock


class JobCommand(BaseCommand):
    """Subclasses set `help`, `interval_seconds` and, where they delete something, `can_dry_run`."""

    interval_seconds = 30
    can_dry_run = False
    last_report = ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--once", action="store_true", help="one round, then end (the default)")
        group.add_argument("--loop", action="store_true", help="repeat until SIGTERM or Ctrl-C")
        parser.add_argument("--interval", type=float, default=self.interval_seconds, help="seconds between rounds")
        if self.can_dry_run:
            parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = bool(options.get("dry_run"))
        if options["loop"]:
            with Leases([self.name]).kept() as leases:
                self.repeat(StopSignal(), leases, interval_seconds=options["interval"], dry_run=dry_run)
        else:
            self.stdout.write(self.run_once(dry_run=dry_run))

    def repeat(
        self, stop: "StopSignal", leases: Leases, *, interval_seconds: float | None = None, dry_run: bool = False
    ) -> None:
        """While another process holds the lease of this job, wait for it."""
        pause = self.interval_seconds if interval_seconds is None else interval_seconds
        while not stop.requested:
            if not leases.holds(self.name):
                stop.sleep(min(pause, RENEW_SECONDS))
                continue
            with leases.round_of(self.name):
                self.run_and_log(dry_run=dry_run)
            close_old_connections()  # a broken one must not fail every round from now on
            stop.sleep(pause)

    def run_and_log(self, *, dry_run: bool = False) -> bool:
        """A round that cannot end a loop: a failure is logged, False is returned, and the next round starts afresh."""
        try:
            report = self.run_once(dry_run=dry_run)
        except Exception:
            log.exception("%s failed", self.name, extra={"job": self.name})
            return False
        level = logging.DEBUG if report == self.last_report else logging.INFO  # idle rounds would bury the others
        log.log(level, "%s: %s", self.name, report, extra={"job": self.name})
        self.last_report = report
        return True

    def run_once(self, *, dry_run: bool = False) -> str:
        if dry_run:
            return self.run(dry_run=True)
        with job_runs.noted(self.name) as this:
            this.report = self.run(dry_run=False) if self.can_dry_run else self.run()
        return this.report

    def run(self, **options: Any) -> str:
        """Do one round and say in a few words what was done. `dry_run` is given where `can_dry_run`."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]


class StopSignal:
    """SIGTERM and SIGINT end a loop between two rounds, never inside one.

    No `threading.Event`: a second signal, in the middle of its `set`, would wait for the first one for ever.
    """

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def sleep(self, seconds: float) -> None:
        """By the server's clock, which may be a simulated one: fast, or set back when a simulation starts anew."""
        started = clock.now().timestamp()
        passed = 0.0
        time.sleep(min(seconds, SHORTEST_PAUSE))
        while 0 <= passed < seconds and not self.requested:
            time.sleep(min(seconds - passed, LONGEST_PAUSE))
            passed = clock.now().timestamp() - started

    def _stop(self, *_: Any) -> None:
        self.requested = True
