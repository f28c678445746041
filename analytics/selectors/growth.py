"""How the number of clients grew (dashboard-api 2.2), from creation dates and the tombstones of deleted ones."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from typing import Any

from django.db.models import OuterRef, Subquery

from clients.models import Client, ClientTombstone
from notifications.models import SystemEvent
from spotopt.common import clock

Span = tuple[datetime, datetime | None]  # None: it goes on


def client_growth(*, days: int) -> list[dict[str, Any]]:
    """A row per UTC day, oldest first, today included; none while there is no client. Three statements.

    A client counts as active from its creation to its last deactivation, if that holds; when that was is looked up in
    the audit events, and if they do not know, it counts as inactive all the time.
    """
    first = clock.now().date() - timedelta(days=days - 1)
    lives: list[Span] = [(created, None) for created in Client.objects.values_list("created_at", flat=True)]
    lives += _deleted(since=first)
    if not lives:
        return []
    new = Counter(created.date() for created, _ in lives)
    totals, inactives = _present(lives, first, days), _present(_inactive(), first, days)
    dates = [first + timedelta(days=number) for number in range(days)]
    return [
        {"date": day.isoformat(), "count": total, "total": total, "new": new[day], "active": total - inactive}
        for day, total, inactive in zip(dates, totals, inactives, strict=True)
    ]


def _deleted(*, since: date) -> list[Span]:
    start = datetime.combine(since, time(), UTC)
    return list(ClientTombstone.objects.filter(deleted_at__gte=start).values_list("created_at", "deleted_at"))


def _inactive() -> list[Span]:
    """Since when each client is inactive that is. Its calls are refused since, so the event is among its last ones."""
    events = SystemEvent.objects.filter(client=OuterRef("pk"), event_type="client_deactivated").order_by("-id")
    clients = Client.objects.filter(is_active=False).annotate(since=Subquery(events.values("created_at")[:1]))
    return [(since or created, None) for since, created in clients.values_list("since", "created_at")]


def _present(spans: Iterable[Span], first: date, days: int) -> list[int]:
    """How many of the spans go on at the end of each day."""
    steps = [0] * days
    for start, end in spans:
        if (begins := max((start.date() - first).days, 0)) < days:
            steps[begins] += 1
        if end and (ends := max((end.date() - first).days, 0)) < days:
            steps[ends] -= 1
    return list(accumulate(steps))
