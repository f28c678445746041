"""Rates, percentiles and CPU time, and the floor under them: what gunicorn and the database need alone."""

import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.core.management.base import CommandError

from instances.selectors.timelines import percentile
from spotopt.benchmarks.driver import Driver, Job, Times
from spotopt.benchmarks.traffic import BenchAgent, Call, request
from spotopt.simulator.server import ROOT, Server, database_connection, end, free_port

FLOOR_SECONDS = 4
CLOSED_LOOP = 16  # connections
WARM_UP = 5
CLOCK_TICKS, PAGE_SIZE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Rate:
    per_second: float
    p99: float | None  # seconds


async def closed_loop(url: str, calls: list[Call]) -> Rate:
    """Each of CLOSED_LOOP connections sends its next call when it has an answer.

    All calls are made some times before: that is what a fleet at rest does.
    """
    async with Driver(url, connections=CLOSED_LOOP) as driver:
        for _ in range(WARM_UP):  # there are several processes, and each has to have heard it once
            await driver.run_all(Job(call.name, call.data, 0.0) for call in calls)
        driver.times = Times()
        started = time.perf_counter()
        while time.perf_counter() - started < FLOOR_SECONDS:
            await driver.run_all(Job(call.name, call.data, 0.0) for call in calls)
        elapsed = time.perf_counter() - started
        if driver.times.failed:
            raise CommandError(f"{dict(driver.times.errors)}"[:500])
    return Rate(driver.times.served / elapsed, percentile(driver.times.everything(), 99))


async def hello_rate(server: Server) -> float:
    """Of a gunicorn like the server's that answers a constant."""
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
                call = Call("hello", 1, request("GET", "/", host=f"127.0.0.1:{port}", token=""))
                return (await closed_loop(f"http://127.0.0.1:{port}", [call] * 500)).per_second
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
    for name, fields in _processes():
        used = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
        if _is_web(server, fields):
            totals["web"] += used
        elif name in ("mariadbd", "mysqld"):
            totals["database"] += used
    return totals


def memory_of_largest(server: Server) -> int:
    """MiB that the largest of the web processes holds."""
    pages = [int(fields[21]) for _, fields in _processes() if _is_web(server, fields)]
    return max(pages, default=0) * PAGE_SIZE >> 20


def _processes() -> Iterator[tuple[str, list[str]]]:
    """The name of each process of this machine, and what follows it in its /proc/…/stat (proc(5))."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            head, _, rest = stat.read_text().rpartition(")")
            yield head.partition("(")[2], rest.split()


def _is_web(server: Server, fields: list[str]) -> bool:
    return server.pid is not None and int(fields[2]) == server.pid  # its process group


def this_machine(server: Server) -> str:
    """What figures are worth nothing without."""
    where = "MySQL/MariaDB" if server.database else "SQLite"
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {where}"


async def register(driver: Driver, fleet: Sequence[BenchAgent]) -> None:
    """And let each make all its calls once. Raises CommandError."""
    await driver.run_all(agent.register_job() for agent in fleet)
    await driver.run_all(Job(call.name, call.data, 0.0) for agent in fleet for call in agent.calls())
    if driver.times.failed:
        raise CommandError(f"Could not begin: {dict(driver.times.errors)}"[:1000])


def percentiles(ordered: list[float], *, digits: int) -> str:
    """p50, p95 and p99 in milliseconds."""
    found = [percentile(ordered, percent) for percent in (50, 95, 99)]
    return "".join(f"{'–':>8}" if one is None else f"{1000 * one:>8.{digits}f}" for one in found)
