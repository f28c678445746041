"""An HTTP/1.1 client for benchmarks: kept-alive connections, as few as a proxy keeps, and requests sent when due.

A request's time counts from when it was due, not from when a connection was free: a slow server does not slow down its
own test.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Answer = tuple[int, bytes, bytes]  # status (0: none came), head, body


@dataclass
class Job:
    """`data` is the whole request, as it goes over the wire."""

    name: str
    data: bytes
    due: float
    then: Callable[[Answer], None] | None = None


@dataclass
class Times:
    """Seconds per endpoint, and what failed."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def served(self) -> int:
        return sum(map(len, self.seconds.values()))

    @property
    def failed(self) -> int:
        return sum(map(len, self.errors.values()))

    def everything(self) -> list[float]:
        return sorted(second for name in self.seconds for second in self.seconds[name])


class Connection(asyncio.Protocol):
    def __init__(self, driver: "Driver") -> None:
        self.driver = driver
        self.job: Job | None = None
        self.buffer = b""
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 (narrows the type)
        self.transport = transport
        self.driver.is_free(self)

    def send(self, job: Job) -> None:
        self.job = job
        if self.transport:
            self.transport.write(job.data)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self.buffer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(self.buffer) < end + length:
            return
        job, answer = self.job, (int(self.buffer[9:12]), self.buffer[:end], self.buffer[end : end + length])
        self.job, self.buffer = None, b""
        if job:
            self.driver.is_done(job, answer)
        if b"connection: close" in head and self.transport:
            self.transport.close()
        else:
            self.driver.is_free(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self.job:
            self.driver.is_done(self.job, (0, b"", b""))
        self.driver.is_lost(self)


class Driver:
    """Use as an asynchronous context. `times` may be replaced between two stretches that are to be told apart."""

    def __init__(self, url: str, *, connections: int) -> None:
        address = urlsplit(url)
        self.host, self.port = str(address.hostname), int(address.port or 80)
        self.times = Times()
        self.waiting: deque[Job] = deque()
        self._connections = connections
        self._free: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._open = 0
        self._is_ending = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Driver":
        await asyncio.gather(*(self._connect() for _ in range(self._connections)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_ending = True
        for connection in list(self._all):
            if connection.transport:
                connection.transport.close()
        await asyncio.sleep(0.05)

    def submit(self, job: Job) -> None:
        self._open += 1
        if self._free:
            self._free.popleft().send(job)
        else:
            self.waiting.append(job)

    async def drain(self, *, seconds: float = 30) -> None:
        """Until everything submitted is answered."""
        until = time.perf_counter() + seconds
        while self._open and time.perf_counter() < until:
            await asyncio.sleep(0.01)

    async def run_all(self, jobs: Iterable[Job]) -> None:
        """Closed loop: one after the other on each connection."""
        for job in jobs:
            while not self._free:
                await asyncio.sleep(0.0005)
            job.due = time.perf_counter()
            self.submit(job)
        await self.drain()

    # --- Called by connections ------------------------------------------------------------------------------------

    def is_free(self, connection: Connection) -> None:
        self._all.add(connection)
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self._free.append(connection)

    def is_done(self, job: Job, answer: Answer) -> None:
        self._open -= 1
        status, head, body = answer
        if 200 <= status < 300:
            self.times.seconds[job.name].append(time.perf_counter() - job.due)
        else:
            self.times.errors[job.name].append(f"{status} {body[:200]!r}")
        if job.then:
            job.then((status, head, body))

    def is_lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if not self._is_ending:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Connection(self), self.host, self.port)
