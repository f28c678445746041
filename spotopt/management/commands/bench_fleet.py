"""How many agents one machine carries, and how far a request is from the least it could cost.

A server of its own, started the documented way, with its jobs; a fleet of all dialects at its true rates; in the same
run the floor: gunicorn answering a constant, and single-row UPDATEs committed without any web server. Everything shares
the machine, so compare ratios, not seconds.
"""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from instances.selectors.timelines import percentile
from spotopt.benchmarks.driver import Driver, Job, Times
from spotopt.benchmarks.measure import (
    CLOSED_LOOP,
    closed_loop,
    commit_rate,
    cpu_seconds,
    hello_rate,
    memory_of_largest,
    percentiles,
    register,
    this_machine,
)
from spotopt.benchmarks.traffic import MIX, BenchAgent, Call, Timetable, request
from spotopt.simulator.server import ROOT, Server, ServerFailed, end, temporary_directory
from spotopt.simulator.transport import TIMEOUT_SECONDS

LIMIT_SECONDS = 0.5  # p99
TICK_SECONDS = 0.002
DASHBOARD_SECONDS = 30  # between two looks of an open dashboard
HERD_SECONDS = 5  # within which a whole fleet comes back
HERD_CONNECTIONS = 1800  # each web process takes 1,000 (deploy/gunicorn.conf.py)
OUTAGE_SECONDS = 10
FLOOR_ROUNDS = 3
FLOOR_CALLS = ("heartbeat", "pending-commands", "config", "instances-to-terminate", "pricing-report")
HEADS = f"{'offered/s':>11}{'served/s':>10}{'p50':>8}{'p95':>8}{'p99':>8}"


@dataclass(frozen=True)
class Level:
    agents: int
    offered: float  # requests per second
    served: float
    times: Times
    from_memory: float  # share of what was served
    cpu: dict[str, float]  # cores
    memory: int  # MiB of the largest web process

    @property
    def is_good(self) -> bool:
        p99 = percentile(self.times.everything(), 99)
        is_fast = p99 is not None and p99 < LIMIT_SECONDS
        return is_fast and not self.times.failed and self.served > 0.97 * self.offered


class Command(BaseCommand):
    help = "Find the largest fleet that a server of its own carries (p99 < 500 ms, no error), and measure its floor."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--agents", type=int, nargs="+", default=[500, 1000, 2000, 4000, 6000, 8000, 10_000])
        parser.add_argument("--seconds", type=float, default=60, help="measured per size of the fleet")
        parser.add_argument("--settle", type=float, default=120, help="before that, until calls have come round once")
        parser.add_argument("--connections", type=int, default=64, help="kept open, as a proxy does")
        parser.add_argument("--dashboards", type=int, default=50, help="open, each looking every 30 s")
        parser.add_argument("--workers", type=int, default=2)
        parser.add_argument("--threads", type=int, default=8)
        parser.add_argument("--history", action="store_true", help="with 2 million price points and 1 million events")
        parser.add_argument("--floor-only", action="store_true")
        parser.add_argument(
            "--no-herd", action="store_true", help="do not kill the server and let all come back at once"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        directory = temporary_directory()
        server = Server(directory=directory, workers=options["workers"], threads=options["threads"])
        try:
            runner = server.prepare()
            if options["history"]:
                self._say("Loading history …")
                runner.run("load_history")
            runner.close()
            server.start()
            with self._jobs(server):
                asyncio.run(self._measure(server, options))
        except ServerFailed as failure:
            raise CommandError(str(failure)) from failure
        finally:
            server.stop()
            shutil.rmtree(directory, ignore_errors=True)

    @contextlib.contextmanager
    def _jobs(self, server: Server) -> Iterator[None]:
        with (server.directory / "jobs.log").open("w") as log:
            command = [sys.executable, "manage.py", "run_jobs"]
            process = subprocess.Popen(  # noqa: S603 (our own interpreter)
                command, cwd=ROOT, env=server.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield
        finally:
            end(process)

    async def _measure(self, server: Server, options: dict[str, Any]) -> None:
        client_id, token = server.create_client("Benchmark")
        self._say(this_machine(server))
        host = server.url.removeprefix("http://")
        fleet = make_fleet(max(options["agents"]), host=host, token=token)
        async with Driver(server.url, connections=options["connections"]) as driver:
            await self._register(driver, fleet)
            await self._floor(server, fleet)
            if options["floor_only"]:
                return
            dashboards = [
                Call(f"dashboard {path.format(client_id='…')}", DASHBOARD_SECONDS / options["dashboards"], data)
                for path, data in dashboard_requests(host, server.admin_token, client_id)
                if options["dashboards"]
            ]
            self._say(f"\n{'agents':>12}{HEADS}{'errors':>8}   from memory; cores; MiB a web process")
            best: Level | None = None
            for size in options["agents"]:
                calls = [call for agent in fleet[:size] for call in agent.calls()] + dashboards
                level = await self._level(driver, size, calls, server, options)
                self._say(row_of(level))
                if level.is_good:
                    best = level
                else:
                    self._tell_errors(level)
                    break
            if best:
                self._say(f"\nLargest: {best.agents} agents, {best.served:.0f} requests/s. Per endpoint, in ms:")
                self._say("\n".join(endpoint_rows(best.times)))
        if best and not options["no_herd"]:
            await self._herd(server, fleet[: best.agents], dashboards, options)

    async def _level(
        self, driver: Driver, size: int, calls: list[Call], server: Server, options: dict[str, Any]
    ) -> Level:
        seconds = options["seconds"]
        await run(driver, Timetable(calls, now=time.perf_counter()), seconds=options["settle"])
        await driver.drain(seconds=options["settle"])  # what had to wait while nobody was known yet
        table = Timetable(calls, now=time.perf_counter())
        before, recalled = cpu_seconds(server), await recalled_answers(driver)
        driver.times = Times()
        offered = await run(driver, table, seconds=seconds)
        times, after = driver.times, cpu_seconds(server)
        served = times.served
        recalled = await recalled_answers(driver) - recalled
        await driver.drain()
        driver.times = Times()  # what follows is no part of this
        cpu = {name: (after[name] - before[name]) / seconds for name in after}
        return Level(
            size, offered / seconds, served / seconds, times, recalled / max(served, 1), cpu, memory_of_largest(server)
        )

    async def _herd(
        self, server: Server, fleet: list[BenchAgent], dashboards: list[Call], options: dict[str, Any]
    ) -> None:
        """The server is killed, and when it is back all agents send their heartbeat within HERD_SECONDS."""
        self._say(f"\nServer killed; after {OUTAGE_SECONDS} s {len(fleet)} agents come back within {HERD_SECONDS} s:")
        server.kill()
        await asyncio.sleep(OUTAGE_SECONDS)
        server.start()
        calls = [call for agent in fleet for call in agent.calls()] + dashboards
        # As many as a proxy opens that keeps none: calls wait in the server, which may refuse them, and not here.
        async with Driver(server.url, connections=HERD_CONNECTIONS) as driver:
            table = Timetable(calls, now=time.perf_counter(), herd=HERD_SECONDS)
            self._say(f"{'seconds':>12}{HEADS}{'late':>8}   refused")
            for second in range(0, 120, 10):
                driver.times = times = Times()
                offered = await run(driver, table, seconds=10)
                late = sum(1 for taken in times.everything() if taken > TIMEOUT_SECONDS)
                figures = percentiles(times.everything(), digits=0)
                refused = ", ".join(f"{len(errors)} {name}" for name, errors in times.errors.items()) or "none"
                rates = f"{offered / 10:>11.0f}{times.served / 10:>10.0f}"
                self._say(f"{f'{second}–{second + 10}':>12}{rates}{figures}{late:>8}   {refused}")

    async def _register(self, driver: Driver, fleet: list[BenchAgent]) -> None:
        started = time.monotonic()
        await register(driver, fleet)
        self._say(f"{len(fleet)} agents registered and heard in {time.monotonic() - started:.0f} s")

    async def _floor(self, server: Server, fleet: list[BenchAgent]) -> None:
        """Each in turn, FLOOR_ROUNDS times, and the best of each: what else the machine does meets all of them."""
        v4 = [agent for agent in fleet if agent.dialect == "v4"][:200]
        calls = {name: [c for agent in v4 for c in agent.calls() if c.name == name] for name in FLOOR_CALLS}
        best: dict[str, float] = defaultdict(float)
        for _ in range(FLOOR_ROUNDS):
            best["hello"] = max(best["hello"], await hello_rate(server))
            for connections in (1, 4, CLOSED_LOOP) if server.database else ():
                name = f"commit {connections}"
                best[name] = max(best[name], commit_rate(server.database, connections))
            for name in FLOOR_CALLS:
                best[name] = max(best[name], (await closed_loop(server.url, calls[name])).per_second)
        self._say(f"\nfloor (a): gunicorn, a constant        {best['hello']:>7.0f}/s")
        combined = best["hello"]
        if server.database:
            for connections in (1, 4, CLOSED_LOOP):
                rate = best[f"commit {connections}"]
                self._say(f"floor (b): UPDATE and commit, {connections:>2} at once{rate:>8.0f}/s")
            combined = 1 / (1 / best["hello"] + 1 / best[f"commit {CLOSED_LOOP}"])
        for name in FLOOR_CALLS:
            share = f"{best[name] / combined:>4.0%} of the floors (a) and (b) combined"
            self._say(f"{name:<38}{best[name]:>8.0f}/s   {share}")

    def _tell_errors(self, level: Level) -> None:
        for name, errors in level.times.errors.items():
            self._say(f"    {name}: {len(errors)} errors, the first: {errors[0][:300]}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def make_fleet(size: int, *, host: str, token: str) -> list[BenchAgent]:
    """Every stretch of twenty agents has the mix of the whole."""
    pattern = [dialect for dialect, share in MIX.items() for _ in range(round(20 * share))]
    return [BenchAgent(n, dialect=pattern[n * 7 % 20], host=host, token=token) for n in range(size)]


def dashboard_requests(host: str, admin_token: str, client_id: str) -> list[tuple[str, bytes]]:
    paths = [
        "/api/admin/stats",
        "/api/admin/clients",
        "/api/admin/activity",
        "/api/notifications?limit=50",
        "/api/client/{client_id}",
        "/api/client/{client_id}/stats/charts",
        "/api/client/{client_id}/switch-history",
    ]
    return [(path, request("GET", path.format(client_id=client_id), host=host, token=admin_token)) for path in paths]


async def run(driver: Driver, table: Timetable, *, seconds: float) -> int:
    """Open loop: how many calls were due, and sent as soon as a connection was free."""
    offered, until = 0, time.perf_counter() + seconds
    while (now := time.perf_counter()) < until:
        for job in table.due(now):
            offered += 1
            driver.submit(job)
        await asyncio.sleep(TICK_SECONDS)
    return offered


async def recalled_answers(driver: Driver) -> float:
    """How many the server has given from memory so far."""
    heard: list[bytes] = []
    data = request("GET", "/metrics", host=f"{driver.host}:{driver.port}", token="")
    driver.submit(Job("metrics", data, time.perf_counter(), lambda answer: heard.append(answer[2])))
    while not heard:
        await asyncio.sleep(TICK_SECONDS)
    lines = [line for line in heard[0].decode().splitlines() if line.startswith("spotopt_recalled_answers_total")]
    return float(lines[0].split()[-1]) if lines else 0.0


def row_of(level: Level) -> str:
    figures = percentiles(level.times.everything(), digits=0)
    cpu = ", ".join(f"{name} {cores:.2f}" for name, cores in level.cpu.items())
    rates = f"{level.offered:>11.0f}{level.served:>10.0f}"
    return f"{level.agents:>12}{rates}{figures}{level.times.failed:>8}   {level.from_memory:.0%}; {cpu}; {level.memory}"


def endpoint_rows(times: Times) -> Iterator[str]:
    yield f"{'':46}{'requests':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'errors':>8}"
    for name, seconds in sorted(times.seconds.items(), key=lambda item: -len(item[1])):
        yield f"{name:46}{len(seconds):>9}{percentiles(sorted(seconds), digits=1)}{len(times.errors.get(name, [])):>8}"
