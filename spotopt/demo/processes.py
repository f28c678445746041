"""Child processes that never outlive the demo."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from spotopt.demo.environment import ROOT

TAIL_LINES = 15
POLL_SECONDS = 0.1


class DemoFailed(Exception):
    """The text is for the person at the terminal."""


class Stopped(Exception):
    """Ctrl-C, SIGTERM, or the terminal was closed."""


class StopRequest:
    """Counts signals: the first one ends everything in order, a second one at once."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    def check(self) -> None:
        if self.count:
            raise Stopped


class Child:
    """A process in a session of its own, so that Ctrl-C reaches the demo alone, which ends its children in order."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        environment: dict[str, str],
        log: Path | None = None,
        stop_with: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name, self.log, self.stop_with = name, log, stop_with
        output = log.open("wb") if log else None  # None: the terminal
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own programs)
                [*_tied_to_parent(), *command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if output:
                output.close()

    @property
    def has_ended(self) -> bool:
        return self._ending() is not None

    def _ending(self) -> os.waitid_result | None:
        """Looks without reaping: until `end` has cleaned up, nobody else can get this process id."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def wait(self, stop: StopRequest) -> None:
        """Until it ends by itself. Raises Stopped, or DemoFailed when it fails."""
        while not self.has_ended:
            stop.check()
            time.sleep(POLL_SECONDS)
        if (ending := self._ending()) and ending.si_status:
            raise DemoFailed(self.obituary())

    def end(self, stop: StopRequest, *, patience_seconds: float) -> None:
        """Ask, then kill when it takes too long or a second Ctrl-C came. Its own children go the same way."""
        if not self.has_ended:
            self._process.send_signal(self.stop_with)
        deadline = time.monotonic() + patience_seconds
        while not self.has_ended and time.monotonic() < deadline and stop.count < 2:
            time.sleep(POLL_SECONDS)
        with suppress(ProcessLookupError):  # the whole session is gone, as it should be
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def obituary(self) -> str:
        ending = self._ending()
        how = ""
        if ending is not None:
            was_killed = ending.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            status = ending.si_status
            how = f" (signal {signal.Signals(status).name})" if was_killed else f" (exit code {status})"
        return f"{self.name} ended unexpectedly{how}.{self._tail()}"

    def _tail(self) -> str:
        if self.log is None:
            return " Its messages are above."
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return f" The end of {self.log}:\n" + "\n".join(f"  {line}" for line in lines)


def _tied_to_parent() -> list[str]:
    """Should the demo itself be killed outright, Linux ends the child with it."""
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
