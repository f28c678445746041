"""How a message of the inbox looks on the wire: in lists, in event streams and in webhooks (dashboard-api 2.7)."""

from typing import TYPE_CHECKING, Any

from spotopt.common import clock

if TYPE_CHECKING:
    from notifications.models import Notification


def notification_item(notification: "Notification") -> dict[str, Any]:
    """The dashboard reads the first five keys."""
    at = clock.isoformat(notification.created_at)
    is_read = notification.read_at is not None
    return {
        "id": notification.public_id,
        "message": notification.message,
        "severity": shown_severity(notification.severity),
        "isRead": is_read,
        "time": at,
        "clientId": notification.client.public_id if notification.client else None,
        "type": notification.notification_type,
        "read": is_read,
        "timestamp": at,
        "metadata": notification.metadata,
    }


def shown_severity(severity: str) -> str:
    """The dashboard has no colour for `critical` (dashboard-api 1.9)."""
    return "error" if severity == "critical" else severity
