"""What can break. Each fault is done, lasts, and is taken back; the text that it returns says what exactly was done."""

import os
import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from spotopt.e2e.processes import children_of
from spotopt.faults.deployment import Deployment
from spotopt.faults.wire import UnreliableTransport
from spotopt.simulator.server import database_connection

LASTS_SECONDS = (3.0, 7.0)
DELAY_SECONDS = (0.02, 0.15)  # of each packet between server and database, both ways
STEP_SECONDS = 3600.0
DISTURBED_SHARE = 0.3  # of all calls
UNREAD_STREAMS = 20
FEWEST_CONNECTIONS = 10  # MariaDB takes no less
GRAB_SECONDS = 5


@dataclass
class Site:
    """What faults are done to."""

    deployment: Deployment
    transport: UnreliableTransport
    rng: random.Random
    outage_seconds: float  # of the long one

    def last(self) -> float:
        seconds = self.rng.uniform(*LASTS_SECONDS)
        time.sleep(seconds)
        return seconds


# --- Processes ------------------------------------------------------------------------------------------------------


def worker_killed(site: Site) -> str:
    """gunicorn replaces it; the other one serves meanwhile."""
    pid = site.rng.choice(sorted(children_of(site.deployment.server.pid or 0)))
    os.kill(pid, signal.SIGKILL)
    return "one of the web workers"


def server_killed(site: Site) -> str:
    server = site.deployment.server
    server.kill()
    time.sleep(site.rng.uniform(0, 2))
    server.start()
    return "the web server with all workers"


def jobs_killed(site: Site) -> str:
    """The other process takes its jobs up when the lease has run out."""
    jobs = site.rng.choice(site.deployment.jobs)
    jobs.signal(signal.SIGKILL)
    jobs.wait(within_seconds=10)
    seconds = site.last()
    jobs.start()
    return f"{jobs.name}, for {seconds:.1f} s"


def jobs_frozen(site: Site) -> str:
    """As a virtual machine that is moved: it goes on in the middle of a step, when others have its jobs."""
    jobs = site.rng.choice(site.deployment.jobs)
    jobs.signal(signal.SIGSTOP)
    time.sleep(16 + site.rng.uniform(0, 4))  # past its lease
    jobs.signal(signal.SIGCONT)
    return f"{jobs.name}, for longer than its leases"


# --- The database ---------------------------------------------------------------------------------------------------


def database_killed(site: Site) -> str:
    site.deployment.database.kill()
    took = site.deployment.database.start()
    return f"back after {took:.1f} s of recovery"


def database_gone(site: Site) -> str:
    site.deployment.database.kill()
    time.sleep(site.outage_seconds)
    site.deployment.database.start()
    return f"for {site.outage_seconds:g} s"


def database_frozen(site: Site) -> str:
    """Connections stay open and nothing answers."""
    site.deployment.database.freeze()
    seconds = site.last()
    site.deployment.database.thaw()
    return f"for {seconds:.1f} s"


def database_slow(site: Site) -> str:
    delay = site.rng.uniform(*DELAY_SECONDS)
    site.deployment.proxy.order(f"delay {delay:.3f}")
    seconds = site.last()
    site.deployment.proxy.order("pass")
    return f"{delay * 2000:.0f} ms more per statement, for {seconds:.1f} s"


def database_cut_off(site: Site) -> str:
    """The network between: connections die in the middle of transactions, then none can be made at all."""
    proxy, times = site.deployment.proxy, site.rng.randint(3, 8)
    for _ in range(times):
        proxy.order("cut")
        time.sleep(site.rng.uniform(0.1, 0.8))
    proxy.order("refuse")
    seconds = site.last()
    proxy.order("pass")
    return f"all connections cut {times} times, none to be had for {seconds:.1f} s"


def database_swallowed(site: Site) -> str:
    """A firewall that drops packets: what was sent may arrive when everybody has given up."""
    site.deployment.proxy.order("swallow")
    seconds = site.last()
    site.deployment.proxy.order("cut")
    site.deployment.proxy.order("pass")
    return f"for {seconds:.1f} s, then cut"


def disk_full(site: Site) -> str:
    database = site.deployment.database
    written = database.fill_disk()
    seconds = site.last()
    database.free_disk()
    aftermath = "; it had to be started again" if site.deployment.restart_database() else ""
    return f"the last {written / 1e6:.0f} MB taken for {seconds:.1f} s{aftermath}"


def connections_exhausted(site: Site) -> str:
    """Everybody else is thrown out, and we are quicker to come back."""
    admin = database_connection()
    held: list[Any] = []
    try:
        with admin.cursor() as cursor:
            cursor.execute(f"SET GLOBAL max_connections = {FEWEST_CONNECTIONS}")
            until = time.monotonic() + GRAB_SECONDS
            while len(held) < FEWEST_CONNECTIONS and time.monotonic() < until:
                _throw_out(cursor, but={connection.thread_id() for connection in (admin, *held)})
                with suppress(Exception):  # "Too many connections": they were quicker this time
                    held.append(database_connection())
        seconds = site.last()
        return f"{len(held)} of {FEWEST_CONNECTIONS} held for {seconds:.1f} s"
    finally:
        for connection in held:
            connection.close()
        with admin.cursor() as cursor:
            cursor.execute("SET GLOBAL max_connections = 300")
        admin.close()


def _throw_out(cursor: Any, *, but: set[int]) -> None:
    cursor.execute("SELECT id FROM information_schema.processlist")
    for (number,) in cursor.fetchall():
        if number not in but:
            with suppress(Exception):  # it has ended by itself
                cursor.execute(f"KILL {int(number)}")


# --- Time -----------------------------------------------------------------------------------------------------------


def clock_ahead(site: Site) -> str:
    return _step(site, STEP_SECONDS)


def clock_behind(site: Site) -> str:
    return _step(site, -STEP_SECONDS)


def _step(site: Site, offset: float) -> str:
    clock = site.deployment.clock
    clock.step(offset)
    seconds = site.last()
    clock.step(0.0)
    return f"{offset / 3600:+g} h for {seconds:.1f} s, and back"


# --- The callers ----------------------------------------------------------------------------------------------------


def reports_disturbed(site: Site) -> str:
    """Sent twice, late, out of order, or answered to nobody."""
    transport = site.transport
    before = _disturbed(transport)
    usual, transport.share = transport.share, DISTURBED_SHARE
    time.sleep(8)
    transport.share = usual
    repeated, late, lost = (now - then for now, then in zip(_disturbed(transport), before, strict=True))
    return f"{repeated} repeated, {late} late, {lost} answers lost"


def _disturbed(transport: UnreliableTransport) -> tuple[int, int, int]:
    return transport.repeated, transport.late, transport.lost


def streams_unread(site: Site) -> str:
    """Clients that ask for the event stream and never read it, nor close it."""
    token, port = site.transport.token, site.deployment.server.port
    sockets = [_half_open(port, token) for _ in range(UNREAD_STREAMS)]
    seconds = site.last()
    for sock in sockets:
        sock.close()
    return f"{len(sockets)} for {seconds:.1f} s"


def _half_open(port: int, token: str) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    sock.settimeout(5)
    with suppress(OSError):
        sock.connect(("127.0.0.1", port))
        request = f"GET /api/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        sock.sendall(f"{request}Accept: text/event-stream\r\n\r\n".encode())
    return sock


Fault = Callable[[Site], str]
FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        worker_killed,
        server_killed,
        jobs_killed,
        jobs_frozen,
        database_killed,
        database_gone,
        database_frozen,
        database_slow,
        database_cut_off,
        database_swallowed,
        disk_full,
        connections_exhausted,
        clock_ahead,
        clock_behind,
        reports_disturbed,
        streams_unread,
    )
}


def drawn(seed: int, number: int) -> list[str]:
    """The faults of a seed, in their order. Half of them go round, so that a row of seeds leaves none out."""
    names = list(FAULTS)
    sure = (number + 1) // 2
    chosen = [names[(seed * sure + n) % len(names)] for n in range(sure)]
    rng = random.Random(f"{seed}:faults")  # noqa: S311 (chance, not cryptography)
    chosen += rng.sample([name for name in names if name not in chosen], number - sure)
    rng.shuffle(chosen)
    return chosen
