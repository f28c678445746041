"""One open event stream: what waits to be sent, and when it is time for a sign of life."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from notifications.stream.frames import KEEP_ALIVE, heartbeat_frames, retry_line

QUEUE = 100  # frames; a reader that is slower than that loses the oldest (dashboard-api 2.9)
KEEP_ALIVE_EVERY = 15.0  # seconds
HEARTBEAT_EVERY = 2  # keep-alives


@dataclass(frozen=True)
class Audience:
    """Whose events a stream shows (None: everybody's), and by whose right.

    `token_hash`: the client's that opened it; a stream does not outlive its token. Empty for operators.
    """

    client_pk: int | None = None
    client_id: str | None = None
    token_hash: str = ""


class Subscription:
    """Filled by the hub's thread, emptied by the connection's own thread or task."""

    def __init__(
        self, *, audience: Audience, last_event_id: int | None, lifetime_seconds: float, retry_seconds: float
    ) -> None:
        self.audience = audience
        self.last_event_id = last_event_id
        self.wake: Callable[[], None] = lambda: None  # set by whoever waits
        self.has_joined = self.is_ended = False
        # Set when it joins: which facts it has had, or which were there before it came.
        self.cursor = 0
        self.skipped: frozenset[int] = frozenset()
        self._retry = retry_line(retry_seconds)
        self._frames: deque[tuple[int, bytes]] = deque(maxlen=QUEUE)
        self._last_sent = 0
        self._opening = deque([self._retry])
        now = time.monotonic()
        self._ends_at = now + lifetime_seconds
        self._next_sign_at = now + KEEP_ALIVE_EVERY
        self._signs = 0

    def greet(self, identifier: int, frame: bytes) -> None:
        """Sent before all others, and never dropped."""
        self._last_sent = identifier
        self._opening.append(frame)
        self.wake()

    def push(self, identifier: int, frame: bytes) -> None:
        if frame:
            self._frames.append((identifier, frame))
            self.wake()

    def end(self) -> None:
        self.is_ended = True
        self.wake()

    def take(self) -> bytes | None:
        """Everything there is to send now; None when there is nothing and the stream goes on."""
        chunks = []
        while self._opening:
            chunks.append(self._opening.popleft())
        while self._frames:
            self._last_sent, frame = self._frames.popleft()
            chunks.append(frame)
        now = time.monotonic()
        if now >= self._next_sign_at:
            self._next_sign_at = now + KEEP_ALIVE_EVERY
            self._signs += 1
            chunks.append(KEEP_ALIVE)
            if self._signs % HEARTBEAT_EVERY == 0:
                chunks.append(heartbeat_frames(cursor=self._last_sent))
        if now >= self._ends_at and not self.is_ended:
            self.is_ended = True
            chunks.append(self._retry)
        return b"".join(chunks) or None

    def seconds_until_due(self) -> float:
        return max(0.0, min(self._next_sign_at, self._ends_at) - time.monotonic())
