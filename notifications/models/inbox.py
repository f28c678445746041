from typing import Any, Self

from django.db import models
from django.db.models import Q

from clients.models import Client
from clients.principals import Principal
from notifications import wire
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import PublicIdField


class Severity(models.TextChoices):
    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @classmethod
    def rank(cls, severity: str) -> int:
        return cls.values.index(severity)


class SystemEvent(models.Model):
    """An append-only fact. Refers to other things by id text, so it outlives them; the id is the stream's cursor."""

    NOTIFICATION = "notification"  # carries a message of the inbox to the event streams
    INSTANCE_STATE_CHANGED = "instance_state_changed"
    STREAM_ONLY = (NOTIFICATION, INSTANCE_STATE_CHANGED)  # say in other words what another row says as well

    client = models.ForeignKey(Client, models.CASCADE, null=True, related_name="+")  # null: not one tenant's affair
    event_type = models.CharField(max_length=64)
    severity = models.CharField(max_length=16, choices=Severity, default=Severity.INFO)
    agent_id = ExactCharField(max_length=64, default="", blank=True)
    instance_id = ExactCharField(max_length=64, default="", blank=True)
    actor = models.CharField(max_length=64, default="", blank=True)  # who asked for it, where a person did
    message = models.TextField()
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=clock.now, db_index=True)  # prune_history

    class Meta:
        db_table = "system_events"
        indexes = [
            models.Index(fields=["client", "id"], name="event_by_client"),  # a tenant's stream and activity list
            models.Index(fields=["instance_id", "id"], name="event_by_instance"),  # an instance's log
        ]
        constraints = [models.CheckConstraint(condition=Q(severity__in=Severity.values), name="event_severity")]

    def __str__(self) -> str:
        return f"{self.event_type} {self.id}"


class NotificationQuerySet(models.QuerySet["Notification"]):
    def for_principal(self, who: Principal) -> Self:
        """What is addressed to the caller; messages to everyone are not any client's own."""
        return self if who.is_operator else self.filter(client=who.client)

    def post(self, **fields: Any) -> "Notification":
        """Put a message into the inbox and tell the open event streams, in the caller's transaction."""
        notification = self.create(**fields)
        SystemEvent.objects.create(
            event_type=SystemEvent.NOTIFICATION,
            client_id=notification.client_id,
            severity=notification.severity,
            message=notification.message,
            metadata={"item": wire.notification_item(notification)},
            created_at=notification.created_at,
        )
        return notification


class Notification(models.Model):
    """A message in a client's inbox."""

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, null=True, related_name="notifications")  # null: everyone
    notification_type = models.CharField(max_length=64)
    severity = models.CharField(max_length=16, choices=Severity, default=Severity.INFO)
    message = models.TextField()
    agent_id = ExactCharField(max_length=64, default="", blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    is_forwarded = models.BooleanField(default=False)  # deliver_notifications has looked who wants it
    created_at = models.DateTimeField(default=clock.now, db_index=True)  # prune_history

    objects = NotificationQuerySet.as_manager()

    class Meta:
        db_table = "notifications"
        indexes = [
            models.Index(fields=["client", "id"], name="notification_by_client"),
            models.Index(fields=["client", "read_at", "id"], name="notification_unread_of"),  # unread=true, read all
            models.Index(fields=["read_at", "id"], name="notification_unread"),  # the same for the operator
            models.Index(fields=["is_forwarded", "id"], name="notification_to_forward"),  # deliver_notifications
        ]
        constraints = [models.CheckConstraint(condition=Q(severity__in=Severity.values), name="notification_severity")]

    def __str__(self) -> str:
        return self.message
