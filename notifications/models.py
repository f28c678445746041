from django.db import models
from django.db.models import Q

from clients.models import Client
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import PublicIdField


class Severity(models.TextChoices):
    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class SystemEvent(models.Model):
    """An append-only fact. Refers to other things by id text, so it outlives them; the id is the stream's cursor."""

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
    created_at = models.DateTimeField(default=clock.now, db_index=True)  # prune_history

    class Meta:
        db_table = "notifications"
        indexes = [models.Index(fields=["client", "id"], name="notification_by_client")]
        constraints = [models.CheckConstraint(condition=Q(severity__in=Severity.values), name="notification_severity")]

    def __str__(self) -> str:
        return self.message


class PricingAlert(models.Model):
    """A threshold a client set; fires once per crossing."""

    class Kind(models.TextChoices):
        PRICE_ABOVE = "price_above"
        PRICE_BELOW = "price_below"
        SAVINGS_BELOW = "savings_below"

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, related_name="pricing_alerts")
    alert_type = models.CharField(max_length=16, choices=Kind, default=Kind.PRICE_ABOVE)
    pool_id = ExactCharField(max_length=128, default="", blank=True)
    threshold = models.DecimalField(max_digits=12, decimal_places=6)
    channels = models.JSONField(default=list)
    is_enabled = models.BooleanField(default=True)
    is_crossed = models.BooleanField(default=False)  # hysteresis: armed again only after the value came back
    last_triggered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "pricing_alerts"
        constraints = [models.CheckConstraint(condition=Q(threshold__gt=0), name="alert_threshold_positive")]

    def __str__(self) -> str:
        return f"{self.alert_type} {self.threshold}"
