"""Which messages were read (dashboard-api 2.7)."""

from django.db.models import QuerySet

from clients.models import Client
from clients.principals import Principal
from notifications.errors import NotificationNotFound
from notifications.models import Notification
from spotopt.common import clock
from spotopt.common.db import retried

BATCH = 1000  # rows locked at a time


@retried
def mark_read(*, who: Principal, notification_id: str) -> None:
    """Again is nothing new. A message to everyone is the operator's to mark: it has one mark for all readers."""
    known = Notification.objects.for_principal(who).filter(public_id=notification_id)
    if not known.filter(read_at=None).update(read_at=clock.now()) and not known.exists():
        raise NotificationNotFound


def mark_all_read(*, who: Principal, client: Client | None) -> int:
    """How many were unread: a client's own; for the operator everybody's, or one client's and those to everyone."""
    unread = Notification.objects.for_principal(who).filter(read_at=None)
    if client is None or not who.is_operator:
        return _mark(unread)
    return _mark(unread.filter(client=client)) + _mark(unread.filter(client=None))


def _mark(unread: QuerySet[Notification]) -> int:
    """Oldest first and no further than what is there now."""
    newest = unread.order_by("-id").values_list("pk", flat=True).first()
    marked, done = 0, 0
    while newest and (
        pks := list(unread.filter(pk__gt=done, pk__lte=newest).order_by("id").values_list("pk", flat=True)[:BATCH])
    ):
        marked += _mark_rows(pks)
        done = pks[-1]
    return marked


@retried
def _mark_rows(pks: list[int]) -> int:
    return Notification.objects.filter(pk__in=pks, read_at=None).update(read_at=clock.now())
