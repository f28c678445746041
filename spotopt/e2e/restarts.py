"""The ways to restart that docs/operations.md names, each while the fleet calls."""

import os
import signal
import time
from pathlib import Path

from spotopt.e2e.processes import Failed, Service, children_of, until

STOP_SECONDS = 40  # TimeoutStopSec of spotopt-web.service
EVENTS_STOP_SECONDS = 15  # of spotopt-events.service
START_SECONDS = 60
BOOT_SECONDS = 5


def reload_workers(web: Service) -> str:
    """SIGHUP: new workers, then the old ones finish what they have."""
    before = children_of(web.pid)
    web.signal(signal.SIGHUP)
    took = until(
        lambda: len(children_of(web.pid)) == len(before) and not before & children_of(web.pid),
        what="all workers are new ones",
        within_seconds=START_SECONDS,
    )
    return f"{len(before)} workers replaced in {took:.1f} s"


def replace_master(web: Service, *, pid_file: Path) -> str:
    """SIGUSR2 starts a second master beside the first, which then gets SIGTERM."""
    workers = len(children_of(web.pid))
    web.signal(signal.SIGUSR2)
    second = pid_file.with_name(pid_file.name + ".2")
    until(second.exists, what="a second master", within_seconds=START_SECONDS)
    pid = int(second.read_text())
    took = until(lambda: len(children_of(pid)) == workers, what="its workers", within_seconds=START_SECONDS)
    booting = children_of(pid)
    time.sleep(BOOT_SECONDS)  # until then they load the application, which may fail
    if children_of(pid) != booting:
        raise Failed("The workers of the second master ended: see web.log")
    ended = web.stop(within_seconds=STOP_SECONDS)
    web.replaced_by(pid)
    until(lambda: pid_file.exists() and int(pid_file.read_text()) == pid, what="it is the only one", within_seconds=10)
    os.kill(pid, 0)
    return f"second master after {took:.1f} s, first one ended in {ended:.1f} s"


def restart(service: Service, *, stop_seconds: float) -> str:
    """As `systemctl restart` with a socket unit: calls wait while nobody is there."""
    ended = service.stop(within_seconds=stop_seconds)
    service.start()
    return f"ended in {ended:.1f} s"
