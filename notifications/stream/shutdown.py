"""Open streams must not hold up a server that is asked to end: SIGTERM and SIGINT end them first."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from notifications.stream.hub import hub

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_watched: set[signal.Signals] = set()


def watch_signals() -> None:
    """Step before the server's own handlers, once, and only in the main thread, where Python allows it."""
    if _watched or threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        _watched.add(number)
        signal.signal(number, _before(signal.getsignal(number)))


def _before(previous: Any) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        # In a thread of its own: this may have interrupted somebody who holds the hub's lock.
        threading.Thread(target=hub.end_all, daemon=True).start()
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    return handle
