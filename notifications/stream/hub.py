"""One per process: a thread with one database connection reads the event log and fills the queues of all streams.

It starts with the first stream and ends, with its connection, when there has been none for a while.
"""

import logging
import threading
import time
from collections import deque

from django.db import connection

from clients.models import Client
from notifications.errors import StreamsEnding, TooManyStreams
from notifications.stream.feed import PAGE, Feed, concerns, missed
from notifications.stream.frames import Fact, connected_frames, event_frame, name_of
from notifications.stream.presence import Presence
from notifications.stream.subscription import QUEUE, Subscription

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
IDLE_SECONDS = 10.0
CHECK_SECONDS = 5.0  # how long a stream may outlive its client or its client's token
RECOVERY_SECONDS = 2.0  # after a failed round
PORTION, BREATH_SECONDS = QUEUE // 2, 0.02  # what is handed out at once, so that only slow readers' queues run over
# Facts after which streams may have to close at once.
_ABOUT_ACCESS = {"client_deactivated", "client_deleted", "token_regenerated"}


class Hub:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakeup = threading.Event()
        self._thread: threading.Thread | None = None
        self._open: dict[Subscription, None] = {}  # an ordered set, whose single operations need no lock
        self._joining: deque[Subscription] = deque()
        self._feed: Feed | None = None
        self._checked_at = 0.0
        self._is_stopping = False

    # --- Called by connections ------------------------------------------------------------------------------------

    def admit(self, subscription: Subscription, *, limit: int) -> None:
        """Take one of this process's places, of which a client may have half. Raises TooManyStreams."""
        with self._lock:
            if self._is_stopping:
                raise StreamsEnding
            audience = subscription.audience
            own = sum(1 for other in list(self._open) if audience.token_hash and other.audience == audience)
            if len(self._open) >= limit or own >= max(1, limit // 2):
                raise TooManyStreams
            self._open[subscription] = None

    def join(self, subscription: Subscription) -> None:
        """From now on it is filled; its first frame says so. Starts the thread if there is none."""
        with self._lock:
            if subscription not in self._open:
                return
            self._joining.append(subscription)
            if self._thread is None and not self._is_stopping:
                self._thread = threading.Thread(target=self._run, name="event-stream", daemon=True)
                self._thread.start()
        self._wakeup.set()

    def leave(self, subscription: Subscription) -> None:
        """Takes no lock: garbage collection may call it at any moment."""
        self._open.pop(subscription, None)

    def end_all(self) -> None:
        """The process is asked to end: nobody is let in any more."""
        with self._lock:
            self._is_stopping = True
        for subscription in list(self._open):
            subscription.end()
        self._wakeup.set()

    # --- The thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        presence = Presence()
        last_used = time.monotonic()
        while not self._is_stopping:
            is_more = self._round_or_recover(presence)
            last_used = time.monotonic() if self._open else last_used
            if time.monotonic() - last_used > IDLE_SECONDS and self._retire():
                break
            if not is_more:
                self._wakeup.wait(POLL_SECONDS)
                self._wakeup.clear()
        presence.withdraw()
        connection.close()

    def _retire(self) -> bool:
        with self._lock:
            if self._open:
                return False
            self._thread, self._feed = None, None
            return True

    def _round_or_recover(self, presence: Presence) -> bool:
        """A failed round loses nothing: the next one starts from the same cursor, on a new connection."""
        try:
            is_more = self.run_round()
            presence.tell([subscription.audience for subscription in list(self._open)])
            return is_more
        except Exception:
            log.exception("the event stream could not read the event log")
            connection.close()
            time.sleep(RECOVERY_SECONDS)
            return False

    def run_round(self) -> bool:
        """Hand out what is new and let newcomers in. True when there is more to hand out right away."""
        if self._feed is None:
            self._feed = Feed()
        seen = self._feed.look()
        released = self._feed.release(seen)
        for count, fact in enumerate(released):
            if count and count % PORTION == 0:
                time.sleep(BREATH_SECONDS)
            self._hand_out(fact)
        self._welcome(self._feed.cursor, waiting=seen[len(released) :])
        about_access = any(fact.event_type in _ABOUT_ACCESS for fact in released)
        if about_access or time.monotonic() - self._checked_at > CHECK_SECONDS:
            self._end_unauthorized()
        return bool(released) and len(seen) == PAGE

    def _welcome(self, cursor: int, *, waiting: list[Fact]) -> None:
        while self._joining:
            subscription = self._joining[0]
            _catch_up(subscription, cursor, waiting)
            subscription.has_joined = True
            self._joining.popleft()

    def _hand_out(self, fact: Fact) -> None:
        if name_of(fact) is None:
            return
        frames: dict[bool, bytes] = {}
        for subscription in self._joined():
            if fact.pk <= subscription.cursor or fact.pk in subscription.skipped:
                continue
            if concerns(fact, subscription.audience.client_pk):
                is_wide = subscription.audience.client_pk is None
                if is_wide not in frames:
                    frames[is_wide] = event_frame(fact, with_client=is_wide)
                subscription.push(fact.pk, frames[is_wide])

    def _end_unauthorized(self) -> None:
        """Deleted and deactivated clients, and tokens that were replaced."""
        self._checked_at = time.monotonic()
        joined = self._joined()
        watched = {s.audience.client_pk for s in joined if s.audience.client_pk is not None}
        tokens = {
            pk: token_hash if is_active else ""
            for pk, token_hash, is_active in Client.objects.filter(pk__in=watched).values_list(
                "pk", "token_hash", "is_active"
            )
        }
        for subscription in joined:
            audience = subscription.audience
            if audience.client_pk is None:
                continue
            is_known = audience.client_pk in tokens
            if not is_known or (audience.token_hash and tokens[audience.client_pk] != audience.token_hash):
                subscription.end()

    def _joined(self) -> list[Subscription]:
        return [subscription for subscription in list(self._open) if subscription.has_joined]


def _catch_up(subscription: Subscription, cursor: int, waiting: list[Fact]) -> None:
    """Replay what it missed, or start with what is not there yet. The first frame tells that it has joined.

    `waiting`: facts beyond the cursor that are there, but have a hole before them.
    """
    audience, last = subscription.audience, subscription.last_event_id
    newest = waiting[-1].pk if waiting else cursor
    if last is None or last > newest:  # a stranger's id, or the log was restored from a backup
        subscription.skipped = frozenset(fact.pk for fact in waiting)
        last = cursor
    replayed = missed(after=last, up_to=cursor, client_pk=audience.client_pk) if last < cursor else []
    subscription.cursor = max(last, cursor)
    subscription.greet(last, connected_frames(client_id=audience.client_id, cursor=last))
    for fact in replayed:
        subscription.push(fact.pk, event_frame(fact, with_client=audience.client_pk is None))


hub = Hub()
