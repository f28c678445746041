from typing import Self

from django.db import models
from django.db.models import Q

from agents.models import Agent
from clients.models import Client
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import PriceField, PublicIdField


class ReplicaQuerySet(models.QuerySet["Replica"]):
    def active(self) -> Self:
        return self.filter(status__in=Replica.ACTIVE)

    def unbound(self) -> Self:
        """Requested, but no EC2 instance is known for it yet."""
        return self.filter(instance_id="")


class Replica(models.Model):
    """A standby of an agent's workload: requested first, bound to an EC2 instance once one was launched."""

    class Type(models.TextChoices):
        MANUAL = "manual"
        REBALANCE = "automatic-rebalance"
        TERMINATION = "automatic-termination"

    class Status(models.TextChoices):
        LAUNCHING = "launching"
        SYNCING = "syncing"
        READY = "ready"
        PROMOTED = "promoted"
        TERMINATED = "terminated"
        FAILED = "failed"

    ACTIVE = (Status.LAUNCHING, Status.SYNCING, Status.READY)

    class SyncStatus(models.TextChoices):
        INITIALIZING = "initializing"
        SYNCING = "syncing"
        SYNCED = "synced"
        OUT_OF_SYNC = "out-of-sync"

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, related_name="replicas")
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="replicas")
    instance_id = ExactCharField(max_length=64, default="", blank=True)  # empty: unbound; never a placeholder
    parent_instance_id = ExactCharField(max_length=64, default="", blank=True)
    replica_type = models.CharField(max_length=24, choices=Type, default=Type.MANUAL)
    status = models.CharField(max_length=16, choices=Status, default=Status.LAUNCHING)
    sync_status = models.CharField(max_length=16, choices=SyncStatus, default=SyncStatus.INITIALIZING)
    sync_latency_ms = models.PositiveIntegerField(null=True, blank=True)
    state_transfer_progress = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    last_sync_at = models.DateTimeField(null=True, blank=True)
    pool_id = ExactCharField(max_length=128, default="", blank=True)
    instance_type = models.CharField(max_length=64, default="", blank=True)
    region = models.CharField(max_length=32, default="", blank=True)
    az = models.CharField(max_length=48, default="", blank=True)
    hourly_cost = PriceField(null=True, blank=True)
    claimed_by = ExactCharField(max_length=64, default="", blank=True)  # the instance that was told to launch it
    claimed_until = models.DateTimeField(null=True, blank=True)
    launch_command_id = ExactCharField(max_length=64, default="", blank=True)  # v5's LAUNCH_INSTANCE
    signal_type = models.CharField(max_length=32, default="", blank=True)
    signal_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=64, default="system")
    placement = models.JSONField(default=dict, blank=True)  # why it went where it went
    tags = models.JSONField(default=dict, blank=True)
    error_message = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(default=clock.now)
    launched_at = models.DateTimeField(null=True, blank=True)
    sync_started_at = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    promoted_at = models.DateTimeField(null=True, blank=True)
    terminated_at = models.DateTimeField(null=True, blank=True)
    termination_attempted_at = models.DateTimeField(null=True, blank=True)
    termination_attempts = models.PositiveSmallIntegerField(default=0)
    termination_confirmed = models.BooleanField(default=False)

    objects = ReplicaQuerySet.as_manager()

    class Meta:
        db_table = "replicas"
        indexes = [models.Index(fields=["agent", "status"], name="replica_by_agent")]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["launching", "syncing", "ready", "promoted", "terminated", "failed"]),
                name="replica_status",
            )
        ]

    def __str__(self) -> str:
        return f"{self.replica_type} {self.public_id[:8]}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE
