"""Counters in this process's memory, bounded whoever calls."""

import threading
import time
from collections.abc import Hashable
from typing import NamedTuple


class OncePerMinute:
    """Lets each key through once a minute."""

    LIMIT = 10_000

    def __init__(self) -> None:
        self._last: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def allows(self, key: Hashable) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(key, now - 60) < 60:
                return False
            if len(self._last) >= self.LIMIT:
                self._last = {k: at for k, at in self._last.items() if now - at < 60}
            if len(self._last) >= self.LIMIT:
                return False
            self._last[key] = now
            return True

    def clear(self) -> None:
        self._last.clear()


class Count(NamedTuple):
    """`used` counts this call too; `reset` is in seconds, at least 1."""

    used: int
    reset: int


class PerMinute:
    """Counts calls per key in windows of a minute, each begun by a key's first call.

    When there are too many keys the oldest windows are forgotten: their callers start anew.
    """

    LIMIT = 10_000
    WINDOW = 60.0

    def __init__(self) -> None:
        self._windows: dict[Hashable, tuple[float, int]] = {}  # in order of their beginning
        self._lock = threading.Lock()

    def count(self, key: Hashable) -> Count:
        now = time.monotonic()
        with self._lock:
            began, used = self._windows.get(key, (now, 0))
            if now - began >= self.WINDOW:
                del self._windows[key]
                began, used = now, 0
            self._windows[key] = (began, used + 1)
            while len(self._windows) > self.LIMIT:
                del self._windows[next(iter(self._windows))]
        return Count(used + 1, max(1, round(began + self.WINDOW - now)))

    def clear(self) -> None:
        self._windows.clear()
