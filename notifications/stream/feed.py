"""The event log as a sequence without holes, whatever order its rows are committed in.

Ids are given out when a row is inserted and the row is seen when its transaction is committed, so 12 may be there
before 11. The feed hands out facts strictly by id: what follows a missing id waits until that id appears or can no
longer appear. It can no longer once it has been missing for TAIL seconds (the time between taking an id and inserting
the row) and no transaction holds an uncommitted row there, which a locking read with NOWAIT tells. So any process
may resume from an id that another one sent.

Where several Galera nodes are written to, the locking read sees its own node only. There a missing id is given
FOREIGN_TAIL, and so is every event, as each node leaves out the ids of the others (docs/scaling.md). A time in which
the whole cluster stood still does not count.
"""

import logging
import time
from collections.abc import Iterable
from datetime import timedelta

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from notifications.models import SystemEvent
from notifications.stream.frames import NOTIFICATION, STREAMED, Fact, name_of
from spotopt.common import clock

log = logging.getLogger(__name__)

TAIL = 2.0  # seconds
FOREIGN_TAIL = 10.0  # seconds; longer than a transaction waits for a lock, and than nodes take to agree on a death
STALL = 1.0  # seconds for a look, after which the database had stopped rather than been slow
LONGEST_WAIT = 60.0  # seconds; a transaction that is open for longer must not silence everybody
PAGE = 1000  # looked at; holes in it age together, so a log full of them still advances by this much every TAIL
REPLAYED = 100  # dashboard-api 2.9
_LOCKED = {1205, 3572}  # MariaDB's and MySQL's word for NOWAIT


class Feed:
    """`cursor`: every fact up to this id was handed out, or will never be there."""

    def __init__(self) -> None:
        self.cursor = _start()
        self._seen_since: dict[int, float] = {}

    def look(self) -> list[Fact]:
        """What is committed beyond the cursor, by id; not to be sent before `release` says so."""
        began = time.monotonic()
        facts = _facts(SystemEvent.objects.filter(pk__gt=self.cursor).order_by("pk")[:PAGE])
        took = time.monotonic() - began
        if took > STALL:  # each as long as before, or all would be sent at once afterwards
            self._seen_since = {pk: since + took for pk, since in self._seen_since.items()}
        return facts

    def release(self, seen: list[Fact]) -> list[Fact]:
        """The beginning of `seen` that has no hole before it or in it; the cursor moves to its end."""
        now = time.monotonic()
        self._seen_since = {fact.pk: self._seen_since.get(fact.pk, now) for fact in seen}
        count = 0
        for fact in seen:
            if fact.pk != self.cursor + 1 and not self._is_settled(fact.pk, now):
                break
            self.cursor = fact.pk
            count += 1
        return seen[:count]

    def _is_settled(self, pk: int, now: float) -> bool:
        """Nothing can appear any more between the cursor and `pk`."""
        waited = now - self._seen_since[pk]
        if waited < TAIL or (waited < FOREIGN_TAIL and _several_nodes_write()):
            return False
        if not _is_in_flight(self.cursor + 1, pk - 1):
            return True
        if waited > LONGEST_WAIT:
            log.warning("event stream: a transaction open for %d s may lose events before %d", int(waited), pk)
        return waited > LONGEST_WAIT


def _start() -> int:
    """Not the newest id: transactions that are open now may still fill holes below it, but none that are old."""
    old = clock.now() - timedelta(seconds=LONGEST_WAIT)
    start = 0
    for pk, at in SystemEvent.objects.order_by("-pk").values_list("pk", "created_at")[:PAGE]:
        if at < old:
            return int(pk)
        start = pk - 1
    return start


def missed(*, after: int, up_to: int, client_pk: int | None) -> list[Fact]:
    """The last REPLAYED streamed facts in (after, up_to]; with a client its own, and messages to everyone."""
    rows = SystemEvent.objects.filter(pk__gt=after, pk__lte=up_to, event_type__in=STREAMED)
    if client_pk is None:
        return _last(rows)
    to_everyone = rows.filter(client=None, event_type=SystemEvent.NOTIFICATION)  # apart: one index range each
    return sorted(_last(rows.filter(client=client_pk)) + _last(to_everyone), key=lambda fact: fact.pk)[-REPLAYED:]


def concerns(fact: Fact, client_pk: int | None) -> bool:
    """Belongs on a client's stream; None is the operator's, who gets everything."""
    if client_pk is None or fact.client_pk == client_pk:
        return True
    return fact.client_pk is None and name_of(fact) == NOTIFICATION


def _last(rows: QuerySet[SystemEvent]) -> list[Fact]:
    return _facts(rows.order_by("-pk")[:REPLAYED])[::-1]


def _facts(rows: QuerySet[SystemEvent]) -> list[Fact]:
    values: Iterable[tuple] = rows.values_list(*Fact.COLUMNS)
    return [Fact(*row) for row in values]


def _several_nodes_write() -> bool:
    if connection.vendor != "mysql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@auto_increment_increment")
        return bool(cursor.fetchone()[0] > 1)


def _is_in_flight(first: int, last: int) -> bool:
    """A row there is not yet committed, or was a moment ago."""
    if not connection.features.has_select_for_update_nowait:
        return False  # SQLite: one writer at a time, which commits in the order of ids
    rows = SystemEvent.objects.filter(pk__gte=first, pk__lte=last)
    try:
        with transaction.atomic():
            return bool(rows.select_for_update(nowait=True).order_by("pk").values_list("pk", flat=True)[:1])
    except OperationalError as error:
        if error.args and error.args[0] in _LOCKED:
            return True
        raise
