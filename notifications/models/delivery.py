"""Who is told outside of the dashboard, and what is still to be sent: the outbox of `deliver_notifications`."""

from django.db import models
from django.db.models import Q

from clients.models import Client
from notifications.models.inbox import Notification, Severity
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import PublicIdField, new_id


class Target(models.Model):
    """What webhooks and e-mail recipients have in common: whose messages they get, and which of them."""

    public_id = PublicIdField()
    client = models.ForeignKey(
        Client, models.CASCADE, null=True, blank=True, related_name="+", help_text="Empty: messages of all clients."
    )
    min_severity = models.CharField(
        max_length=16, choices=Severity, default=Severity.WARNING, help_text="This severity and higher ones."
    )
    notification_types = models.TextField(
        default="", blank=True, help_text="Only these types, separated by commas, such as pricing_alert. Empty: all."
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True

    def wants(self, notification: Notification) -> bool:
        """By client, severity and type."""
        if self.client_id is not None and notification.client_id not in (self.client_id, None):
            return False
        if Severity.rank(notification.severity) < Severity.rank(self.min_severity):
            return False
        types = {word.strip() for word in self.notification_types.split(",")} - {""}
        return not types or notification.notification_type in types


class WebhookEndpoint(Target):
    """An address that gets signed POSTs (docs/notifications.md)."""

    CHANNEL = "webhook"

    name = models.CharField(max_length=100)
    url = models.CharField(max_length=500)
    secret_encrypted = models.TextField(editable=False)

    class Meta:
        db_table = "webhook_endpoints"

    def __str__(self) -> str:
        return self.name


class EmailRecipient(Target):
    CHANNEL = "email"

    address = models.EmailField(max_length=255)

    class Meta:
        db_table = "email_recipients"

    def __str__(self) -> str:
        return self.address


class Delivery(models.Model):
    """One message to one target. `next_attempt_at` is also the lease: a job that took it moves it into the future."""

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"  # given up

    public_id = PublicIdField()
    dedupe_key = ExactCharField(max_length=160, unique=True, default=new_id)
    notification = models.ForeignKey(Notification, models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, null=True, blank=True, related_name="deliveries")
    recipient = models.ForeignKey(EmailRecipient, models.CASCADE, null=True, blank=True, related_name="deliveries")
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=clock.now)
    last_error = models.CharField(max_length=255, default="", blank=True)
    created_at = models.DateTimeField(default=clock.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "deliveries"
        indexes = [models.Index(fields=["status", "next_attempt_at"], name="delivery_due")]  # deliver_notifications
        constraints = [
            models.CheckConstraint(condition=Q(status__in=["pending", "sent", "failed"]), name="delivery_status"),
            models.CheckConstraint(
                condition=Q(endpoint__isnull=False, recipient__isnull=True)
                | Q(endpoint__isnull=True, recipient__isnull=False),
                name="delivery_one_target",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.notification_id} to {self.target}"

    @property
    def target(self) -> WebhookEndpoint | EmailRecipient:
        target = self.endpoint or self.recipient
        if target is None:
            raise ValueError("A delivery has a target")
        return target
