from django.db import models
from django.db.models import Case, F, Q, When

from agents.models import Agent
from clients.models import Client
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import PriceField, PublicIdField


class InterruptionEpisode(models.Model):
    """One interruption signal of one instance, however often the agent repeats it (agent-api 2.6)."""

    class Kind(models.TextChoices):
        REBALANCE = "rebalance-recommendation"
        TERMINATION = "termination-notice"

    class Status(models.TextChoices):
        DETECTED = "detected"
        HANDLING = "handling"
        RESOLVED = "resolved"
        FAILED = "failed"

    OPEN = (Status.DETECTED, Status.HANDLING)

    class Response(models.TextChoices):
        CREATED_REPLICA = "created-replica"
        PROMOTED_REPLICA = "promoted-existing-replica"
        EMERGENCY_SNAPSHOT = "emergency-snapshot"
        NO_ACTION = "no-action"

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, related_name="episodes")
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="episodes")
    instance_id = ExactCharField(max_length=64)
    kind = models.CharField(max_length=32, choices=Kind)
    status = models.CharField(max_length=16, choices=Status, default=Status.DETECTED)
    is_drill = models.BooleanField(default=False)
    response = models.CharField(max_length=32, choices=Response, default=Response.NO_ACTION)
    pool_id = ExactCharField(max_length=128, default="", blank=True)
    spot_price = PriceField(null=True, blank=True)
    reports = models.PositiveIntegerField(default=1)
    detected_at = models.DateTimeField(default=clock.now)
    last_reported_at = models.DateTimeField(default=clock.now)
    deadline_at = models.DateTimeField(null=True, blank=True)
    replica = models.ForeignKey("instances.Replica", models.SET_NULL, null=True, blank=True, related_name="+")
    promoted_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    error_message = models.TextField(default="", blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    open_for = models.GeneratedField(
        expression=Case(When(status__in=["detected", "handling"], then=F("agent_id"))),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )

    class Meta:
        db_table = "interruption_episodes"
        indexes = [
            models.Index(fields=["pool_id", "detected_at"], name="episode_by_pool"),
            models.Index(fields=["detected_at"], name="episode_by_time"),  # figures of all clients, /metrics
        ]
        constraints = [
            models.UniqueConstraint(fields=["open_for", "instance_id", "kind"], name="episode_one_open"),
            models.CheckConstraint(
                condition=Q(status__in=["detected", "handling", "resolved", "failed"]), name="episode_status"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.instance_id}"


class LaunchFailure(models.Model):
    """A launch that EC2 refused, by what has to change before the next try can succeed."""

    class Class(models.TextChoices):
        CAPACITY = "capacity"  # the pool is full: try another one
        QUOTA = "quota"  # the account's limit: other pools do not help
        PERMISSION = "permission"  # a person has to change the role
        IMAGE = "image"  # a person has to change the image or network settings
        OTHER = "other"

    client = models.ForeignKey(Client, models.CASCADE, related_name="+")
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="launch_failures")
    pool_id = ExactCharField(max_length=128, default="", blank=True)  # empty: on-demand
    error_class = models.CharField(max_length=16, choices=Class)
    error_code = models.CharField(max_length=64, default="", blank=True)  # AWS's
    message = models.TextField(default="", blank=True)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "launch_failures"
        indexes = [
            models.Index(fields=["pool_id", "at"], name="launch_failure_by_pool"),
            models.Index(fields=["agent", "at"], name="launch_failure_by_agent"),
        ]

    def __str__(self) -> str:
        return f"{self.error_code or self.error_class} {self.pool_id}"
