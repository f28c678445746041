"""The base of every background job: once for cron and tests, `--loop` for a service unit of its own."""

import logging
import signal
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from spotopt.common import clock

log = logging.getLogger(__name__)


class JobCommand(BaseCommand):
    """Subclasses set `help`, `interval_seconds` and, where they delete something, `can_dry_run`."""

    interval_seconds = 30
    can_dry_run = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--once", action="store_true", help="one round, then end (the default)")
        group.add_argument("--loop", action="store_true", help="repeat until SIGTERM or Ctrl-C")
        parser.add_argument("--interval", type=float, default=self.interval_seconds, help="seconds between rounds")
        if self.can_dry_run:
            parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = {"dry_run": options["dry_run"]} if self.can_dry_run else {}
        if not options["loop"]:
            self.stdout.write(self.run(**dry_run))
            return
        stop = StopSignal()
        while not stop.requested:
            run_and_log(self, **dry_run)
            stop.sleep(options["interval"])

    def run(self, **options: Any) -> str:
        """Do one round and say in a few words what was done."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]


def run_and_log(job: JobCommand, **options: Any) -> bool:
    """One round that cannot end a loop: a failure is logged, False is returned, and the next round starts afresh."""
    try:
        log.info("%s: %s", job.name, job.run(**options), extra={"job": job.name})
    except Exception:
        log.exception("%s failed", job.name, extra={"job": job.name})
        return False
    finally:
        close_old_connections()
    return True


class StopSignal:
    """SIGTERM and SIGINT end a loop between two rounds, never inside one."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, *_: Any) -> None:
        self.requested = True

    def sleep(self, seconds: float) -> None:
        """By the server's clock, in short steps so that a signal is heard and simulated time is followed."""
        until = clock.now().timestamp() + seconds
        time.sleep(min(seconds, 0.05))
        while not self.requested and (left := until - clock.now().timestamp()) > 0:
            time.sleep(min(left, 0.1))
