"""Programs that run as systemd runs them: listening sockets are handed to them, a stop is SIGTERM with a time limit."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from spotopt.simulator.server import ROOT, tail

BACKLOG = 2048
SETPRIV = "/usr/bin/setpriv"  # should this script be killed outright, Linux ends its children with it
POLL_SECONDS = 0.05
GONE = 255  # the exit code of a process that nobody can tell any more
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# systemd's protocol: the first socket is file 3, and LISTEN_PID names who it is for.
WITH_SOCKET = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&{}'


class Failed(Exception):
    """The text says what did not work, with the end of the log."""


def listening(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """As a socket unit: it stays open while services come and go, so calls wait instead of being refused."""
    sock = socket.create_server((host, port), backlog=BACKLOG)
    sock.set_inheritable(True)
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


class Adopted:
    """A process that another one of ours started and left to us (`PR_SET_CHILD_SUBREAPER`)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # it ended before its parent did
                self._code = GONE
            else:
                self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        began = time.monotonic()
        while (code := self.poll()) is None:
            if timeout is not None and time.monotonic() - began > timeout:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_SECONDS)
        return code


def adopt_orphans() -> None:
    """Whatever our children leave behind becomes ours instead of the machine's first process's."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(pid: int) -> set[int]:
    """Raises Failed when there is no such process."""
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except FileNotFoundError:
        raise Failed(f"Process {pid} has ended") from None


class Service:
    """A program with a log, in a session of its own, so that whatever it started ends with it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self.name, self.command, self.environment, self.log = name, list(command), environment, log
        self.sock: socket.socket | None = None  # handed over as by a socket unit
        self._process: subprocess.Popen[bytes] | Adopted | None = None
        self._sessions: list[int] = []

    @property
    def pid(self) -> int:
        if self._process is None:
            raise Failed(f"{self.name} was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        command: list[str] = self.command
        files: tuple[int, ...] = ()
        if self.sock:
            files = (self.sock.fileno(),)
            command = ["bash", "-c", WITH_SOCKET.format(self.sock.fileno()), "bash", *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own programs)
                [SETPRIV, "--pdeathsig", "TERM", *command],
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=files,
                start_new_session=True,
            )
        self._sessions.append(self._process.pid)

    def stop(self, *, within_seconds: float) -> float:
        """How long it took. Raises Failed when it takes longer, or ends with anything but 0."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.wait(within_seconds=within_seconds)
        if code not in (0, -signal.SIGTERM):
            raise Failed(f"{self.name} ended with {code}. {tail(self.log)}")
        return time.monotonic() - began

    def replaced_by(self, pid: int) -> None:
        """Its own successor runs already, in the same session."""
        self._process = Adopted(pid)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, *, within_seconds: float) -> int:
        try:
            return self._process.wait(within_seconds) if self._process else 0
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {within_seconds:g} s. {tail(self.log)}") from None

    def destroy(self) -> None:
        """Also what it left behind: a master that replaced it, workers."""
        for session in self._sessions:
            with suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        if self._process:
            self._process.wait()


def run(
    name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path, codes: Sequence[int] = (0,)
) -> str:
    """The output of a command that has to end with one of `codes`. Raises Failed."""
    with log.open("ab") as errors:
        ended = subprocess.run(  # noqa: S603 (our own programs)
            command, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, stderr=errors, check=False
        )
    if ended.returncode not in codes:
        output = ended.stdout.decode(errors="replace")[-1000:]
        raise Failed(f"{name} ended with {ended.returncode}. {output} {tail(log)}")
    return ended.stdout.decode()


def until(condition: Callable[[], bool], *, what: str, within_seconds: float) -> float:
    """Wait until `condition()` is true. How long it took. Raises Failed."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within_seconds:
            raise Failed(f"Not within {within_seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
