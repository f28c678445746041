"""One gunicorn and two job processes, a proxy between them and a durable MariaDB, and a clock that can be wrong."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from spotopt.e2e.processes import Failed, Service
from spotopt.e2e.stack import MANAGE
from spotopt.faults.mariadb import MariaDB
from spotopt.faults.proxy import Proxy
from spotopt.simulator.clockfile import ClockFile
from spotopt.simulator.server import JobRunner, Server, tail

STOP_SECONDS = 60
THREADS = 8  # of each of two workers
PACE = {
    "AGENT_MEMORY": "true",  # at most a second old: of the fleet's time, that is less than two polls
    "DEFAULT_TERMINATE_WAIT_SECONDS": "60",  # moves are over sooner, so more of them meet a fault
    "COMMAND_PENDING_TTL": "7200",  # or each step of the clock by an hour would rightly let all waiting orders expire
}


class WrongClock(ClockFile):
    """The server's clock is `offset` seconds ahead of the simulation's."""

    offset = 0.0
    _at = 0.0

    def set(self, at: float) -> None:
        self._at = at
        super().set(at + self.offset)

    def step(self, offset: float) -> None:
        self.offset = offset
        self.set(self._at)


class Deployment:
    def __init__(
        self, directory: Path, *, template: MariaDB, at: float, on_small_disk: bool, is_careless: bool
    ) -> None:
        directory.mkdir()
        self.directory = directory
        self.database = MariaDB(directory / "mariadb", is_careless=is_careless)
        self.database.begin_with(template, on_small_disk=on_small_disk)
        os.environ.update(self.database.environment)  # for looks past the server, and past the proxy
        self.proxy = Proxy(self.database.port)
        self.clock = WrongClock(directory / "clock", at=at)
        self.server = Server(clock_file=self.clock.path, directory=directory, threads=THREADS)
        self.server.database = ""  # it is made already, and thrown away with everything else
        inside = self.database.environment | PACE
        self.server.environment |= inside | {"DB_PORT": str(self.proxy.port)}
        self.jobs = [self._jobs(number) for number in (1, 2)]
        self.runner: JobRunner | None = None

    def _jobs(self, number: int) -> Service:
        log = self.directory / f"jobs-{number}.log"
        environment = self.server.environment | {"PYTHONFAULTHANDLER": "1"}
        return Service(f"jobs-{number}", [*MANAGE, "run_jobs"], environment=environment, log=log)

    def start(self) -> tuple[str, str]:
        """(id, token) of a client. Raises Failed or ServerFailed."""
        self.database.start()
        self.server.start()
        for jobs in self.jobs:
            jobs.start()
        straight = self.server.environment | {"DB_PORT": str(self.database.port)}
        self.runner = JobRunner(straight, self.directory / "runner.log")
        return self.server.create_client("Faults")

    def restart_database(self) -> bool:
        """Where a fault was too much for it, as systemd would. Whether it was."""
        is_down = not self.database.is_running
        if is_down:
            self.database.start()
        return is_down

    def stop_jobs(self) -> float:
        """Both at once. Raises Failed when one does not end as asked; its log then says where it hangs."""
        began = time.monotonic()
        for jobs in self.jobs:
            jobs.signal(signal.SIGTERM)
        for jobs in self.jobs:
            try:
                jobs.stop(within_seconds=STOP_SECONDS)
            except Failed as failure:
                if jobs.is_running:
                    jobs.signal(signal.SIGABRT)
                    jobs.wait(within_seconds=10)
                raise Failed(f"{failure} {tail(jobs.log, lines=200)}") from failure
        return time.monotonic() - began

    def serve_without_memory(self) -> None:
        """Where a second of ours may be an hour of the fleet's, nothing may be a second old."""
        self.server.stop()
        self.server.environment["AGENT_MEMORY"] = "false"
        self.server.start()

    def logs(self) -> list[Path]:
        return [self.server.log, *(jobs.log for jobs in self.jobs)]

    def destroy(self) -> None:
        if self.runner:
            self.runner.close()
        for jobs in self.jobs:
            jobs.destroy()
        with suppress(ProcessLookupError):  # it never came up
            self.server.kill()
        self.proxy.end()
        self.database.destroy()


def make_template(directory: Path) -> MariaDB:
    """An empty, migrated database, stopped: every seed begins with a copy of its files."""
    template = MariaDB(directory / "template")
    template.install()
    os.environ.update(template.environment)
    try:
        template.start()
        server = Server(directory=directory)
        server.database = ""
        server.environment |= template.environment
        server.prepare().close()
        template.stop()
    finally:
        template.destroy()
    return template
