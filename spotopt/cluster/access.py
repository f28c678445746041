"""What the fleet's calls met, by nginx's log of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

UNAVAILABLE = 503
GAVE_UP = 499  # nginx's own: the caller closed the connection before there was an answer
AGENTS = "/api/agents/"
STREAMS = "/api/events/"  # open for as long as they are


@dataclass(frozen=True)
class Call:
    at: float  # Unix time of the answer
    status: int
    seconds: float
    method: str
    path: str

    @property
    def failed(self) -> bool:
        return self.status >= GAVE_UP

    @property
    def is_agents(self) -> bool:
        return self.path.startswith(AGENTS)

    @property
    def is_acknowledged_write(self) -> bool:
        return self.method != "GET" and self.status < 300


@dataclass(frozen=True)
class Trouble:
    """Something that was done at `at`, and the calls that were answered soon after."""

    name: str
    at: float
    calls: Sequence[Call]

    @property
    def met(self) -> str:
        """What those calls met, in words."""
        text = f"{self.refused}, slowest answer {max((call.seconds for call in self.calls), default=0):.1f} s"
        return f"{text}, no write acknowledged for {self.pause:.1f} s"

    @property
    def refused(self) -> str:
        failed = [call.at - self.at for call in self.calls if call.failed]
        when = f" ({failed[0]:.1f} to {failed[-1]:.1f} s later)" if failed else ""
        return f"{len(failed)} of {len(self.calls)} calls refused{when}"

    @property
    def pause(self) -> float:
        """The longest time between two acknowledged writes."""
        times = [self.at, *(call.at for call in self.calls if call.is_acknowledged_write)]
        return max((later - earlier for earlier, later in zip(times, times[1:], strict=False)), default=0.0)


def read_calls(log: Path) -> list[Call]:
    """By the time of their answer; without event streams, and without a line that is being written."""
    calls = []
    for line in log.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            at, status, seconds, method, path = line.split(maxsplit=4)
            calls.append(Call(float(at), int(status), float(seconds), method, path.strip()))
    return sorted((call for call in calls if not call.path.startswith(STREAMS)), key=lambda call: call.at)


def trouble(name: str, at: float, calls: Iterable[Call], *, seconds: float) -> Trouble:
    return Trouble(name, at, [call for call in calls if at <= call.at <= at + seconds])


def unexplained(calls: Iterable[Call], troubles: Iterable[Trouble]) -> list[Call]:
    """Calls that failed otherwise than with 503, and agents' that did so not in any trouble.

    People are refused with 503 at other times as well: they come last where there is not enough for everybody.
    """
    excused = {call for one in troubles for call in one.calls}
    failed = [call for call in calls if call.failed]
    return [call for call in failed if call.status != UNAVAILABLE or (call.is_agents and call not in excused)]
