"""The server's side of decisions/worker.py: a process that runs what was uploaded, for one question or a few."""

import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import IO, Any, Self, cast

from spotopt.common.wire import storable

WORKER = Path(__file__).resolve().parent.parent / "worker.py"
LIBRARIES = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
MOST_BYTES_OF_GREETING = 8 * 2**10
_HEADER = 4
_CHUNK = 64 * 2**10


class Kind(StrEnum):
    MODELS = "models"
    ENGINE = "engine"


MEMORY = {Kind.MODELS: 2 * 2**30, Kind.ENGINE: 512 * 2**20}  # of addresses, the libraries' own included


class WorkerFailed(Exception):
    """It crashed, took too long, or what it answered is no answer. The text says which."""


class FilesRefused(WorkerFailed):
    """It runs, but these files do not."""


class CannotContain(WorkerFailed):
    """This machine cannot run uploaded code safely, or lacks something that the worker needs."""


@dataclass(frozen=True)
class Runnable:
    """A file of a session or an engine. `name` tells its type, `path` lies under the content's hash."""

    name: str
    path: Path
    sha256: str


@contextmanager
def started(kind: Kind, files: Sequence[Runnable], *, seconds: float) -> Iterator["Worker"]:
    """A worker that has loaded the files; killed and reaped at the end. All together may take `seconds`.

    Raises FilesRefused, CannotContain or WorkerFailed.
    """
    process = subprocess.Popen(  # noqa: S603 (our own program)
        [sys.executable, "-I", "-S", "-B", str(WORKER)],
        env={},  # above all: none of the server's secrets
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    worker = Worker(process, seconds)
    try:
        yield worker.loaded(kind, files)
    finally:
        worker.end()


class Worker:
    def __init__(self, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        self._process, self._seconds = process, seconds
        self._deadline = time.monotonic() + seconds
        pipes = cast("tuple[IO[bytes], IO[bytes]]", (process.stdin, process.stdout))
        self._stdin, self._stdout = (pipe.fileno() for pipe in pipes)
        for descriptor in (self._stdin, self._stdout):
            os.set_blocking(descriptor, False)

    def loaded(self, kind: Kind, files: Sequence[Runnable]) -> Self:
        order = {
            "kind": kind.value,
            "files": [{"name": file.name, "path": str(file.path.resolve())} for file in files],
            "libraries": LIBRARIES if kind is Kind.MODELS else [],
            "memory": MEMORY[kind],
            "cpu_seconds": ceil(self._seconds) + 1,  # a second wall: the deadline comes first, and says what was wrong
        }
        greeting = self._exchange(order, MOST_BYTES_OF_GREETING)
        if "broken" in greeting:
            raise CannotContain(_text(greeting["broken"]))
        if "refused" in greeting:
            raise FilesRefused(_text(greeting["refused"]))
        if greeting.get("sha256") != [file.sha256 for file in files]:
            raise FilesRefused("it is damaged on the server's disk")
        return self

    def ask(self, question: Any, *, most_bytes: int) -> Any:
        """Raises WorkerFailed. What comes back is JSON, and nothing else is certain of it."""
        answer = self._exchange(question, most_bytes)
        if "answer" not in answer:
            raise WorkerFailed(_text(answer.get("failed")))
        return answer["answer"]

    def end(self) -> None:
        """Whatever it is doing; with all it might have started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            self._process.__exit__(None, None, None)  # closes the pipes and waits

    def _exchange(self, message: Any, most_bytes: int) -> dict[str, Any]:
        body = json.dumps(message).encode()
        received = self._converse(memoryview(struct.pack(">I", len(body)) + body), most_bytes)
        try:
            found = json.loads(received)
        except (ValueError, RecursionError):
            raise WorkerFailed("its answer is not JSON") from None
        if not isinstance(found, dict):
            raise WorkerFailed("its answer is not an object")
        return found

    def _converse(self, to_send: memoryview, most_bytes: int) -> bytes:
        """Sends and receives at once: neither side can block the other for longer than the deadline."""
        received = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE)
            selector.register(self._stdout, selectors.EVENT_READ)
            while True:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise WorkerFailed(f"it did not answer within {self._seconds:g} seconds")
                for key, _ in selector.select(left):
                    if key.fd == self._stdout:
                        received += self._read()
                    elif not (to_send := self._write(to_send)):
                        selector.unregister(self._stdin)
                if (answer := _framed(received, most_bytes)) is not None:
                    return answer

    def _write(self, data: memoryview) -> memoryview:
        try:
            return data[os.write(self._stdin, data[:_CHUNK]) :]
        except BrokenPipeError:
            raise WorkerFailed(self._how_it_ended()) from None

    def _read(self) -> bytes:
        data = os.read(self._stdout, _CHUNK)
        if not data:
            raise WorkerFailed(self._how_it_ended())
        return data

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(max(0.1, self._deadline - time.monotonic()))
            return f"its process ended with {_ending(status)}"
        return "it closed the pipe"


def _text(said: object) -> str:
    """What a hostile process says may be anything."""
    return str(storable(said))[:300] if isinstance(said, str) else "it did not say why"


def _framed(received: bytearray, most_bytes: int) -> bytes | None:
    """The answer, once all of it is there."""
    if len(received) < _HEADER:
        return None
    (size,) = struct.unpack(">I", received[:_HEADER])
    if size > most_bytes:
        raise WorkerFailed("its answer is no frame, or too large")
    if len(received) > _HEADER + size:
        raise WorkerFailed("it said more than it was asked")
    return bytes(received[_HEADER:]) if len(received) == _HEADER + size else None


def _ending(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
