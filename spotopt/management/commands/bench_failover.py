"""How long the server's part of a failover takes, with and without a fleet in the background.

Measured as an agent sees it: from the sending of termination-imminent until the promoted host's next poll answers
with the primary's config. Both rounds run in one go on the same server, so that their difference means something.
"""

import shutil
import threading
import time
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from spotopt.simulator.hosts import Host, ready_pair
from spotopt.simulator.server import Server, ServerFailed, temporary_directory

HEARTBEAT_SECONDS = 30
SENDERS = 4


class Fleet:
    """Agents whose heartbeats are spread evenly over HEARTBEAT_SECONDS."""

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts, self.sent = hosts, 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._beat, args=(hosts[n::SENDERS],)) for n in range(SENDERS)]

    def __enter__(self) -> "Fleet":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _beat(self, hosts: list[Host]) -> None:
        pause = HEARTBEAT_SECONDS / max(1, len(hosts))
        due = time.monotonic()
        while not self._stop.is_set():
            for host in hosts:
                host.post("heartbeat", {"status": "online", "instance_id": host.instance_id})
                self.sent += 1
                due += pause
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return


class Command(BaseCommand):
    help = "Measure the server's part of failovers, idle and with a fleet in the background, on a server of its own."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--agents", type=int, default=1000, help="heart-beating in the background")
        parser.add_argument("--failovers", type=int, default=200, help="in each round")

    def handle(self, *args: Any, **options: Any) -> None:
        directory = temporary_directory()
        server = Server(directory=directory)
        try:
            server.prepare().close()
            server.start()
            self._measure(server, **{name: options[name] for name in ("agents", "failovers")})
        except ServerFailed as failure:
            raise CommandError(str(failure)) from failure
        finally:
            server.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def _measure(self, server: Server, *, agents: int, failovers: int) -> None:
        _, token = server.create_client("Benchmark")
        where = "MySQL/MariaDB" if server.database else "SQLite"
        self.stdout.write(f"Registering {agents} agents and {2 * failovers} pairs on {where} …")
        with ThreadPoolExecutor(SENDERS) as threads:
            fleet = list(
                threads.map(lambda n: Host(server.url, token, name=f"bg-{n}", instance_id=f"i-b{n}"), range(agents))
            )
            pairs = list(threads.map(lambda n: ready_pair(server.url, token, n), range(2 * failovers)))
        idle = sorted(_fail_over(*pair) for pair in pairs[:failovers])
        with Fleet(fleet) as background:
            time.sleep(2)
            started, before = time.monotonic(), background.sent
            busy = sorted(_fail_over(*pair) for pair in pairs[failovers:])
            rate = (background.sent - before) / (time.monotonic() - started)
        self.stdout.write(f"{'':24}{'p50':>10}{'p99':>10}{'worst':>10}")
        for name, times in (("idle", idle), (f"{rate:.0f} heartbeats/s", busy)):
            figures = (times[len(times) // 2], times[int(len(times) * 0.99)], times[-1])
            self.stdout.write(f"{name:24}" + "".join(f"{1000 * seconds:>7.1f} ms" for seconds in figures))


def _fail_over(primary: Host, standby: Host) -> float:
    """Seconds until the promoted host is told that it is the primary."""
    started = time.perf_counter()
    reply = primary.post("termination-imminent", {"instance_id": primary.instance_id, "termination_time": None})
    enabled = standby.get("config")["enabled"]
    elapsed = time.perf_counter() - started
    if not reply["success"] or not enabled:
        raise CommandError(f"{primary.instance_id} did not fail over: {reply}")
    return elapsed
