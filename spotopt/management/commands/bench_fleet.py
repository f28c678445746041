"""How many agents one machine carries, and how far a request is from the least it could cost.

A server of its own, started the documented way, with its jobs; a fleet of all dialects at its true rates; in the same
run the floor: gunicorn answering a constant, and single-row UPDATEs committed without any web server. Everything shares
the machine, so compare ratios, not seconds.
"""

import asyncio
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from instances.selectors.timelines import percentile
from spotopt.benchmarks.driver import Driver, Job, Times
from spotopt.benchmarks.traffic import MIX, BenchAgent, Call, Timetable, request
from spotopt.simulator.server import (
    ROOT,
    Server,
    ServerFailed,
    database_connection,
    end,
    free_port,
    temporary_directory,
)

LIMIT_SECONDS = 0.5  # p99
TICK_SECONDS = 0.002
SETTLE_SECONDS = 3
FLOOR_SECONDS = 4
CLOSED_LOOP = 16  # connections
WARM_UP = 5
DASHBOARD_SECONDS = 30  # between two looks of an open dashboard
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Level:
    agents: int
    offered: float  # requests per second
    served: float
    times: Times
    cpu: dict[str, float]  # cores

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
        parser.add_argument("--seconds", type=float, default=20, help="per size of the fleet")
        parser.add_argument("--connections", type=int, default=64, help="kept open, as a proxy does")
        parser.add_argument("--dashboards", type=int, default=50, help="open, each looking every 30 s")
        parser.add_argument("--workers", type=int, default=2)
        parser.add_argument("--threads", type=int, default=8)
        parser.add_argument("--history", action="store_true", help="with 2 million price points and 1 million events")
        parser.add_argument("--floor-only", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        directory = temporary_directory()
        server = Server(clock_file=Path(), directory=directory, workers=options["workers"], threads=options["threads"])
        server.environment |= {"SIMULATED_CLOCK_FILE": "", "AGENT_MEMORY": "true"}  # real time
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
        where = "MySQL/MariaDB" if server.database else "SQLite"
        self._say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {where}")
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
            self._say(
                f"\n{'agents':>7}{'offered/s':>11}{'served/s':>10}{'p50':>8}{'p95':>8}{'p99':>8}{'errors':>8}   cores"
            )
            best: Level | None = None
            for size in options["agents"]:
                level = await run_level(driver, fleet[:size], dashboards, seconds=options["seconds"], server=server)
                self._say(row_of(level))
                if level.is_good:
                    best = level
                else:
                    self._tell_errors(level)
                    break
            if best:
                self._say(f"\nLargest: {best.agents} agents, {best.served:.0f} requests/s. Per endpoint, in ms:")
                self._say("\n".join(endpoint_rows(best.times)))

    async def _register(self, driver: Driver, fleet: list[BenchAgent]) -> None:
        started = time.monotonic()
        await driver.run_all(agent.register_job() for agent in fleet)
        await driver.run_all(Job(call.name, call.data, 0.0) for agent in fleet for call in agent.calls())
        if driver.times.failed:
            raise CommandError(f"Could not begin: {dict(driver.times.errors)}"[:1000])
        self._say(f"{len(fleet)} agents registered and heard in {time.monotonic() - started:.0f} s")

    async def _floor(self, server: Server, fleet: list[BenchAgent]) -> None:
        hello = await hello_rate(server)
        self._say(f"\nfloor (a): gunicorn, a constant        {hello:>7.0f}/s")
        commits = 0.0
        if server.database:
            for connections in (1, 4, CLOSED_LOOP):
                commits = commit_rate(server.database, connections)
                self._say(f"floor (b): UPDATE and commit, {connections:>2} at once{commits:>8.0f}/s")
        combined = 1 / (1 / hello + 1 / commits) if commits else hello
        v4 = [agent for agent in fleet if agent.dialect == "v4"][:200]
        for name in ("heartbeat", "pending-commands", "config", "instances-to-terminate", "pricing-report"):
            calls = [call for agent in v4 for call in agent.calls() if call.name == name]
            rate = await closed_loop_rate(server.url, calls)
            self._say(f"{name:<38}{rate:>8.0f}/s   {rate / combined:>4.0%} of the floors (a) and (b) combined")

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


async def run_level(
    driver: Driver, fleet: list[BenchAgent], extra: list[Call], *, seconds: float, server: Server
) -> Level:
    """Open loop. The first SETTLE_SECONDS do not count."""
    calls = [call for agent in fleet for call in agent.calls()] + extra
    table = Timetable(calls, now=time.perf_counter())
    offered, started, before = 0, time.perf_counter(), cpu_seconds(server)
    driver.times = settling = Times()
    while (now := time.perf_counter()) < started + SETTLE_SECONDS + seconds:
        if driver.times is settling and now >= started + SETTLE_SECONDS:
            driver.times, offered, before = Times(), 0, cpu_seconds(server)
        for job in table.due(now):
            offered += 1
            driver.submit(job)
        await asyncio.sleep(TICK_SECONDS)
    served = driver.times.served
    after = cpu_seconds(server)
    await driver.drain()
    cpu = {name: (after[name] - before[name]) / seconds for name in after}
    return Level(len(fleet), offered / seconds, served / seconds, driver.times, cpu)


async def closed_loop_rate(url: str, calls: list[Call]) -> float:
    """With each call made some times before: that is what a fleet at rest does."""
    async with Driver(url, connections=CLOSED_LOOP) as driver:
        for _ in range(WARM_UP):  # several processes, and each has to have heard it once
            await driver.run_all(Job(call.name, call.data, 0.0) for call in calls)
        started, number = time.perf_counter(), 0
        while time.perf_counter() - started < FLOOR_SECONDS:
            await driver.run_all(Job(call.name, call.data, 0.0) for call in calls)
            number += len(calls)
        elapsed = time.perf_counter() - started
        if driver.times.failed:
            raise CommandError(f"{dict(driver.times.errors)}"[:500])
    return number / elapsed


async def hello_rate(server: Server) -> float:
    port = free_port()
    environment = server.environment | {"PORT": str(port), "FLASK_PORT": str(port)}
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "spotopt.benchmarks.hello"]
    with server.log.open("a") as log:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter)
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{port}"
                call = Call("hello", 1, request("GET", "/", host=f"127.0.0.1:{port}", token=""))
                return await closed_loop_rate(url, [call] * 500)
            await asyncio.sleep(0.1)
        raise CommandError("The gunicorn that answers a constant did not start.")
    finally:
        end(process)


def commit_rate(database: str, connections: int) -> float:
    """Single-row UPDATEs per second, each committed, each thread on a row and a connection of its own."""
    first = database_connection(database)
    cursor = first.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS bench_floor (id INT PRIMARY KEY, n BIGINT NOT NULL)")
    cursor.executemany("REPLACE INTO bench_floor VALUES (%s, 0)", [(n,) for n in range(connections)])
    done = [0] * connections
    until = time.perf_counter() + FLOOR_SECONDS

    def work(number: int) -> None:
        connection = database_connection(database)
        cursor = connection.cursor()
        while time.perf_counter() < until:
            cursor.execute("UPDATE bench_floor SET n = n + 1 WHERE id = %s", [number])
            done[number] += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cursor.execute("DROP TABLE bench_floor")
    first.close()
    return sum(done) / FLOOR_SECONDS


def cpu_seconds(server: Server) -> dict[str, float]:
    """CPU time so far of the web processes, the database server and this driver."""
    totals = {"web": 0.0, "database": 0.0, "driver": time.process_time()}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, rest = stat.read_text().rpartition(")")
            fields = rest.split()
            used = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
            if server.pid and int(fields[2]) == server.pid:  # its process group
                totals["web"] += used
            elif head.endswith(("(mariadbd", "(mysqld")):
                totals["database"] += used
    return totals


def row_of(level: Level) -> str:
    figures = percentiles(level.times.everything(), digits=0)
    cpu = ", ".join(f"{name} {cores:.2f}" for name, cores in level.cpu.items())
    return f"{level.agents:>7}{level.offered:>11.0f}{level.served:>10.0f}{figures}{level.times.failed:>8}   {cpu}"


def endpoint_rows(times: Times) -> Iterator[str]:
    yield f"{'':46}{'requests':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'errors':>8}"
    for name, seconds in sorted(times.seconds.items(), key=lambda item: -len(item[1])):
        yield f"{name:46}{len(seconds):>9}{percentiles(sorted(seconds), digits=1)}{len(times.errors.get(name, [])):>8}"


def percentiles(ordered: list[float], *, digits: int) -> str:
    """p50, p95 and p99 in milliseconds."""
    found = [percentile(ordered, percent) for percent in (50, 95, 99)]
    return "".join(f"{'–':>8}" if one is None else f"{1000 * one:>8.{digits}f}" for one in found)
