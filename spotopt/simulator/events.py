"""The event queue: what happens when, in simulated time."""

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from spotopt.simulator.clockfile import Clock

Action = Callable[[], None]
TICK_SECONDS = 0.05  # of wall time between two moves of the clock while waiting for the next event


@dataclass(order=True)
class Event:
    at: float
    sequence: int
    action: Action = field(compare=False)
    key: str = field(compare=False)
    is_cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.is_cancelled = True


class Scheduler:
    """Runs events in order of (time, sequence).

    Events of one simulated second form a batch: those with the same key run one after the other, different keys in
    parallel. `speed` simulated seconds pass per second of wall time; None does not wait at all.
    """

    def __init__(self, clock: Clock, *, start: float, speed: float | None = None, threads: int = 1) -> None:
        self.now = start
        self.stop_requested = False
        self._clock = clock
        self._speed = speed
        self._heap: list[Event] = []
        self._sequence = itertools.count()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._origin = (time.monotonic(), start)

    def at(self, when: float, action: Action, *, key: str) -> Event:
        # Up to the next whole second: all of a batch then find the clock where they expect it, or a little later.
        event = Event(max(math.ceil(when), self.now), next(self._sequence), action, key)
        with self._lock:
            heapq.heappush(self._heap, event)
        return event

    def after(self, seconds: float, action: Action, *, key: str) -> Event:
        return self.at(self.now + seconds, action, key=key)

    def run(self, until: float, after_batch: Action = lambda: None) -> None:
        """Until `until`, the end of all events, or `stop_requested`."""
        while not self.stop_requested:
            with self._lock:
                due = self._heap[0].at if self._heap else until
            if due >= until:
                break
            if self._wait_until(due):
                self._run_batch(due)
                after_batch()
        if not self.stop_requested and self._wait_until(until):
            self._move_to(until)

    def set_speed(self, speed: float | None) -> None:
        """From here on. Not while it runs."""
        self._speed = speed
        self._origin = (time.monotonic(), self.now)

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()

    def _wait_until(self, due: float) -> bool:
        """False when something earlier was scheduled meanwhile, or the run was stopped."""
        if self._speed is None:
            return True
        wall_origin, origin = self._origin
        while not self.stop_requested:
            reached = origin + (time.monotonic() - wall_origin) * self._speed
            if reached >= due:
                return True
            self._move_to(reached)
            time.sleep(min(TICK_SECONDS, (due - reached) / self._speed))
        return False

    def _move_to(self, at: float) -> None:
        self.now = max(self.now, at)
        self._clock.set(self.now)

    def _run_batch(self, due: float) -> None:
        self._move_to(due)
        groups: dict[str, list[Event]] = {}
        with self._lock:
            while self._heap and int(self._heap[0].at) == int(due):
                event = heapq.heappop(self._heap)
                groups.setdefault(event.key, []).append(event)
        if self._pool and len(groups) > 1:
            list(self._pool.map(_run_in_order, groups.values()))
        else:
            for events in groups.values():
                _run_in_order(events)


def _run_in_order(events: list[Event]) -> None:
    for event in events:
        if not event.is_cancelled:
            event.action()
