from django.db import models
from django.db.models import Q

from clients.models import Client
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import PublicIdField


class PricingAlert(models.Model):
    """A threshold a client set, in USD per hour or percent below on-demand; fires once per crossing and pool.

    Without a pool it is about each pool that the client uses.
    """

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
    last_triggered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "pricing_alerts"
        # When the price of a pool changes: its own alerts, and those about any pool of the clients that use it.
        indexes = [models.Index(fields=["pool_id", "is_enabled", "client"], name="alert_by_pool")]
        constraints = [models.CheckConstraint(condition=Q(threshold__gt=0), name="alert_threshold_positive")]

    def __str__(self) -> str:
        return f"{self.alert_type} {self.threshold}"


class AlertCrossing(models.Model):
    """The value is beyond the threshold; the alert fires for this pool again only after the row is gone."""

    alert = models.ForeignKey(PricingAlert, models.CASCADE, related_name="crossings")
    pool_id = ExactCharField(max_length=128)
    since = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "pricing_alert_crossings"
        constraints = [models.UniqueConstraint(fields=["alert", "pool_id"], name="alert_crossing_once")]

    def __str__(self) -> str:
        return self.pool_id
