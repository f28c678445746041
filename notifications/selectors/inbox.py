from typing import Any

from django.db.models import QuerySet

from clients.models import Client
from notifications.models import Notification
from notifications.wire import notification_item


def latest_notifications(
    *, messages: QuerySet[Notification], client: Client | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first; with a client its own and those to everyone, each read along its own index range."""
    if client is None:
        found = _newest(messages, limit)
    else:
        both = _newest(messages.filter(client=client), limit) + _newest(messages.filter(client=None), limit)
        found = sorted(both, key=lambda message: message.pk, reverse=True)[:limit]
    return [notification_item(message) for message in found]


def _newest(messages: QuerySet[Notification], limit: int) -> list[Notification]:
    return list(messages.select_related("client").order_by("-id")[:limit])
