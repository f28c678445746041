import threading
import time
from collections.abc import Hashable


class OncePerMinute:
    """Lets each key through once a minute, in this process; memory stays bounded whoever calls."""

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
