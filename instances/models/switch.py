from django.db import models
from django.db.models import Q

from agents.models import Agent, Command
from clients.models import Client
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import Mode, PriceField, PublicIdField


class Switch(models.Model):
    """A move of a workload from one instance to another that happened, with its trigger."""

    class Trigger(models.TextChoices):
        MANUAL = "manual"
        AUTOMATIC = "automatic"
        EMERGENCY = "emergency"
        UNKNOWN = "unknown"

    class Source(models.TextChoices):
        REPORTED = "reported"  # the agent said so
        INFERRED = "inferred"  # the successor registered before, or without, a report
        PROMOTED = "promoted"  # the server itself promoted a standby

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, related_name="switches")
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="switches")
    command = models.ForeignKey(Command, models.SET_NULL, null=True, blank=True, related_name="switches")
    source = models.CharField(max_length=16, choices=Source)
    trigger = models.CharField(max_length=16, choices=Trigger, default=Trigger.UNKNOWN)
    is_anomalous = models.BooleanField(default=False)  # executed by an instance that was no longer the primary

    old_instance_id = ExactCharField(max_length=64)
    new_instance_id = ExactCharField(max_length=64)
    old_instance_type = models.CharField(max_length=64, default="", blank=True)
    new_instance_type = models.CharField(max_length=64, default="", blank=True)
    old_region = models.CharField(max_length=32, default="", blank=True)
    new_region = models.CharField(max_length=32, default="", blank=True)
    old_az = models.CharField(max_length=48, default="", blank=True)
    new_az = models.CharField(max_length=48, default="", blank=True)
    old_ami_id = models.CharField(max_length=64, default="", blank=True)
    new_ami_id = models.CharField(max_length=64, default="", blank=True)
    old_mode = models.CharField(max_length=16, choices=Mode, default=Mode.UNKNOWN)
    new_mode = models.CharField(max_length=16, choices=Mode, default=Mode.UNKNOWN)
    old_pool_id = ExactCharField(max_length=128, default="", blank=True)
    new_pool_id = ExactCharField(max_length=128, default="", blank=True)

    ondemand_price = PriceField(null=True, blank=True)
    old_spot_price = PriceField(null=True, blank=True)
    new_spot_price = PriceField(null=True, blank=True)
    savings_impact = PriceField(null=True, blank=True)  # USD/hour: price paid before − after; null: unknown

    initiated_at = models.DateTimeField(null=True, blank=True)
    instance_launched_at = models.DateTimeField(null=True, blank=True)
    instance_ready_at = models.DateTimeField(null=True, blank=True)
    traffic_switched_at = models.DateTimeField(null=True, blank=True)
    old_terminated_at = models.DateTimeField(null=True, blank=True)
    ami_created_at = models.DateTimeField(null=True, blank=True)
    downtime_seconds = models.PositiveIntegerField(null=True, blank=True)  # null: not measured
    snapshot = models.JSONField(default=dict, blank=True)
    success = models.BooleanField(default=True)
    error_message = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "switches"
        verbose_name_plural = "switches"
        indexes = [
            models.Index(fields=["client", "created_at"], name="switch_by_client"),  # switch-history
            models.Index(fields=["client", "old_instance_id"], name="switch_by_old_instance"),  # the same, of one
            models.Index(fields=["client", "new_instance_id"], name="switch_by_new_instance"),
            models.Index(  # downtime sums read the index alone
                fields=["client", "created_at", "trigger", "success", "downtime_seconds"], name="switch_downtimes"
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["agent", "old_instance_id", "new_instance_id"], name="switch_once"),
            models.CheckConstraint(
                condition=Q(trigger__in=["manual", "automatic", "emergency", "unknown"]),
                name="switch_trigger",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.old_instance_id} → {self.new_instance_id}"
