"""Many interruptions at once while the server and its sweeper are killed again and again: is anybody left behind?

Half of the agents have a standby; for the others one is launched during the notice, as v4 does it. An agent whose
call fails repeats it, as its restart by systemd would. In the end each has exactly one primary: its standby.
"""

import random
import shutil
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import requests
from django.core.management.base import BaseCommand, CommandError

from spotopt.simulator.hosts import Host, HostError, ready_pair
from spotopt.simulator.server import ROOT, Server, ServerFailed, temporary_directory

AGENTS_AT_ONCE = 8
PATIENCE_SECONDS = 60
LISTED = 5000


class Killer(threading.Thread):
    """SIGKILL to the web processes or to the sweeper, at random moments, until stopped."""

    def __init__(self, server: Server, rng: random.Random, every_seconds: float) -> None:
        super().__init__()
        self.server, self.rng, self.every = server, rng, every_seconds
        self.kills: Counter[str] = Counter()
        self._over = threading.Event()
        self._sweeper = self._start_sweeper()

    def run(self) -> None:
        while not self._over.wait(self.every * self.rng.uniform(0.2, 1.8)):
            if self.rng.random() < 0.5:
                self.server.kill()
                self.server.start()
                self.kills["server"] += 1
            else:
                self._sweeper.kill()
                self._sweeper.wait()
                self._sweeper = self._start_sweeper()
                self.kills["sweeper"] += 1

    def stop(self) -> None:
        """Afterwards the server runs, and the sweeper has the time of one round."""
        self._over.set()
        self.join()

    def end_sweeper(self) -> None:
        self._sweeper.kill()
        self._sweeper.wait()

    def _start_sweeper(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "manage.py", "sweep_failovers", "--loop", "--interval", "0.5"]
        with self.server.log.open("a") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self.server.environment, stdout=log, stderr=log)  # noqa: S603


class Command(BaseCommand):
    help = "Interrupt many agents at once while server and sweeper are killed; every one must end on its standby."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--episodes", type=int, default=500)
        parser.add_argument("--kill-every", type=float, default=3.0, metavar="SECONDS", help="on average")
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        directory = temporary_directory()
        server = Server(directory=directory)
        try:
            server.prepare().close()
            server.start()
            self._storm(server, **{name: options[name] for name in ("episodes", "kill_every", "seed")})
        except ServerFailed as failure:
            raise CommandError(str(failure)) from failure
        finally:
            server.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def _storm(self, server: Server, *, episodes: int, kill_every: float, seed: int) -> None:
        client_id, token = server.create_client("Storm")
        self.stdout.write(f"Registering {episodes} agents …")
        _report_prices(server.url, token)
        with ThreadPoolExecutor(AGENTS_AT_ONCE) as threads:
            pairs = list(threads.map(lambda n: _pair(server.url, token, n), range(episodes)))
        killer = Killer(server, random.Random(seed), kill_every)  # noqa: S311 (chance, not cryptography)
        killer.start()
        started = time.monotonic()
        try:
            with ThreadPoolExecutor(AGENTS_AT_ONCE) as threads:
                list(threads.map(_interrupt, pairs))
        finally:
            killer.stop()
        try:
            left = _await_primaries(server.url, token, client_id, episodes)
        finally:
            killer.end_sweeper()
        kills = ", ".join(f"{name} {count} times" for name, count in sorted(killer.kills.items()))
        self.stdout.write(f"{episodes} episodes in {time.monotonic() - started:.0f} s, killed: {kills or 'nothing'}")
        if left:
            raise CommandError(f"{len(left)} agents did not end on their standby: {', '.join(sorted(left)[:10])}")
        self.stdout.write("Every agent has exactly one primary, its standby.")


def _report_prices(url: str, token: str) -> None:
    """Placement needs to know a pool."""
    host = Host(url, token, name="prices", instance_id="i-prices")
    zones = ("us-east-1a", "us-east-1b")
    pools = [{"pool_id": f"t3.medium.{az}", "instance_type": "t3.medium", "az": az, "price": 0.0125} for az in zones]
    host.post("pricing-report", {"instance": {"instance_id": "i-prices"}, "pricing": {"spot_pools": pools}})


def _pair(url: str, token: str, number: int) -> tuple[Host, Host | None]:
    if number % 2:
        return ready_pair(url, token, number)
    return Host(url, token, name=f"pair-{number}", instance_id=f"i-p{number}"), None


def _interrupt(pair: tuple[Host, Host | None]) -> None:
    primary, standby = pair
    reply = _until_answered(lambda: primary.post("termination-imminent", {"instance_id": primary.instance_id}))
    if standby:
        return
    replica_id, bound = (
        reply["replica_id"],
        {"instance_id": primary.instance_id.replace("i-p", "i-s"), "status": "syncing"},
    )
    path = f"/api/agents/{primary.agent_id}/replicas/{replica_id}"
    _until_answered(lambda: primary.call("PUT", path, bound))
    _until_answered(lambda: primary.call("POST", f"{path}/status", {"status": "ready"}))


def _until_answered(call: Callable[[], Any]) -> Any:
    """An answer of the server counts; a dead or starting server does not."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except (requests.RequestException, HostError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _await_primaries(url: str, token: str, client_id: str, episodes: int) -> set[str]:
    """The agents' numbers whose only primary is not their standby, once nothing changes for the better any more."""
    expected = {f"i-s{number}" for number in range(episodes)}
    until = time.monotonic() + PATIENCE_SECONDS
    wrong = expected
    while wrong and time.monotonic() < until:
        with suppress(requests.RequestException):
            rows = requests.get(
                f"{url}/api/client/{client_id}/instances?limit={LISTED}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            ).json()
            primaries = {row["id"] for row in rows if row["isPrimary"]} - {"i-prices"}
            wrong = primaries ^ expected
        time.sleep(0.5 if wrong else 0)
    return wrong
