from datetime import timedelta

from django.conf import settings

from notifications.models import Notification, Severity
from spotopt.legacy.rows import Row, Skip
from spotopt.legacy.tables import ByPublicId, Owners

TOO_OLD = "older than its retention here"


class Notifications(ByPublicId[Notification]):
    """They count as forwarded: nobody is told again. When one was read is not known, and its own time stands for it."""

    label = name = "notifications"
    columns = (
        "id",
        "client_id",
        "agent_id",
        "notification_type",
        "title",
        "message",
        "severity",
        "is_read",
        "created_at",
    )
    model = Notification
    compared = ("client_id", "agent_id", "notification_type", "severity", "message", "created_at")

    def prepare(self) -> None:
        self._owners = Owners()
        self._read_before = self.now - timedelta(days=settings.NOTIFICATION_RETENTION_DAYS)
        self._before = min(self._read_before, self.now - timedelta(days=settings.EVENT_RETENTION_DAYS))

    def convert(self, row: Row) -> Notification:
        public_id, client = self.id_of(row), self._owners.client(row)
        created_at = row.time("created_at")
        is_read = row.flag("is_read", False)
        if created_at is None:
            raise Skip("no time")
        if created_at < (self._read_before if is_read else self._before):
            raise Skip(TOO_OLD)
        title, message = row.prose("title"), row.prose("message")
        return Notification(
            public_id=public_id,
            client_id=client,
            agent_id=row.key("agent_id"),
            notification_type=row.text("notification_type", 64),
            severity=severity_of(row),
            message=message or title,
            metadata={"title": title} if title and message else {},
            read_at=created_at if is_read else None,
            is_forwarded=True,
            created_at=created_at,
        )


def severity_of(row: Row) -> str:
    said = row.text("severity", 16).lower()
    if said and said not in Severity.values:
        row.note("severity is no known word: info")
    return said if said in Severity.values else Severity.INFO
