"""The body of a streaming response, as threads (WSGI) and as tasks (ASGI) read it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

from notifications.stream import shutdown
from notifications.stream.hub import Hub
from notifications.stream.subscription import Subscription


class Body:
    """Holds the stream's place in the hub until it is closed, which also happens when nobody ever reads it."""

    def __init__(self, hub: Hub, subscription: Subscription) -> None:
        self._hub, self._subscription = hub, subscription
        self._has_joined = False

    def close(self) -> None:
        self._subscription.end()
        self._hub.leave(self._subscription)

    def __del__(self) -> None:
        self._hub.leave(self._subscription)

    def _join_once(self) -> None:
        if not self._has_joined:
            self._has_joined = True
            self._hub.join(self._subscription)


class ThreadBody(Body, Iterator[bytes]):
    """Occupies a thread while it is open."""

    def __init__(self, hub: Hub, subscription: Subscription) -> None:
        super().__init__(hub, subscription)
        self._bell = threading.Event()
        subscription.wake = self._bell.set

    def __next__(self) -> bytes:
        self._join_once()
        while True:
            self._bell.clear()
            if chunk := self._subscription.take():
                return chunk
            if self._subscription.is_ended:
                self.close()
                raise StopIteration
            self._bell.wait(self._subscription.seconds_until_due())


class TaskBody(Body, AsyncIterator[bytes]):
    """Costs a queue and a timer while it is open."""

    async def __anext__(self) -> bytes:
        if not self._has_joined:
            self._wait_in_this_loop()
        self._join_once()
        while True:
            self._bell.clear()
            if chunk := self._subscription.take():
                return chunk
            if self._subscription.is_ended:
                self.close()
                raise StopAsyncIteration
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), self._subscription.seconds_until_due())

    def _wait_in_this_loop(self) -> None:
        loop = asyncio.get_running_loop()
        bell = self._bell = asyncio.Event()

        def ring() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the hub's thread
                loop.call_soon_threadsafe(bell.set)

        self._subscription.wake = ring
        shutdown.watch_signals()
