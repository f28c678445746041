from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Case, F, Q, When

from agents.models import Agent
from clients.models import Client
from clients.principals import Principal
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import Mode


class InstanceQuerySet(models.QuerySet["Instance"]):
    def for_principal(self, who: Principal) -> Self:
        return self if who.is_operator else self.filter(client=who.client)

    def active(self) -> Self:
        return self.filter(status__in=Instance.ACTIVE)

    def alive(self) -> Self:
        """Running in EC2 as far as we know, whatever its role."""
        return self.exclude(status=Instance.Status.TERMINATED)


class Instance(models.Model):
    """An EC2 instance of a client. Its identity is (client, EC2 id); its role changes in services.roles alone."""

    class Status(models.TextChoices):
        LAUNCHING = "launching"
        PRIMARY = "running_primary"
        REPLICA = "running_replica"
        PROMOTING = "promoting"
        ZOMBIE = "zombie"
        TERMINATING = "terminating"
        TERMINATED = "terminated"

    ACTIVE = (Status.LAUNCHING, Status.PRIMARY, Status.REPLICA, Status.PROMOTING)
    GONE = (Status.ZOMBIE, Status.TERMINATING, Status.TERMINATED)  # no way back to primary (agent-api 2.2)

    client = models.ForeignKey(Client, models.CASCADE, related_name="instances")
    agent = models.ForeignKey(Agent, models.CASCADE, null=True, blank=True, related_name="instances")
    instance_id = ExactCharField(max_length=64)  # EC2's, or i-pending-… until a v5 launch is confirmed
    status = models.CharField(max_length=16, choices=Status)
    mode = models.CharField(max_length=16, choices=Mode, default=Mode.UNKNOWN)
    instance_type = models.CharField(max_length=64, default="", blank=True)  # empty: unknown
    region = models.CharField(max_length=32, default="", blank=True)
    az = models.CharField(max_length=48, default="", blank=True)
    pool_id = ExactCharField(max_length=128, default="", blank=True)  # empty on on-demand and while unknown
    ami_id = models.CharField(max_length=64, default="", blank=True)
    private_ip = models.CharField(max_length=45, default="", blank=True)
    public_ip = models.CharField(max_length=45, default="", blank=True)
    role_hint = models.CharField(max_length=8, default="", blank=True)  # of a launch: primary or replica
    command_id = ExactCharField(max_length=64, default="", blank=True)  # the order that launched it

    launch_requested_at = models.DateTimeField(null=True, blank=True)
    launch_confirmed_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)  # of a non-primary; the primary's is on its agent
    silence_noticed_at = models.DateTimeField(null=True, blank=True)  # of the last one that may mean its death
    last_switch_at = models.DateTimeField(null=True, blank=True)
    zombie_since = models.DateTimeField(null=True, blank=True)
    termination_hold = models.BooleanField(default=False)  # an operator has to look first (agent-api R8)
    notice_deadline = models.DateTimeField(null=True, blank=True)  # AWS takes it back then
    missing_snapshots = models.PositiveSmallIntegerField(default=0)  # consecutive inventories without it
    termination_requested_at = models.DateTimeField(null=True, blank=True)
    termination_attempted_at = models.DateTimeField(null=True, blank=True)
    termination_attempts = models.PositiveSmallIntegerField(default=0)  # failed ones
    termination_confirmed = models.BooleanField(default=False)
    terminated_at = models.DateTimeField(null=True, blank=True)
    termination_reason = models.CharField(max_length=255, default="", blank=True)
    # Ledger rows of earlier hours are final; late news lowers this and the roll-up starts again from here. Null once
    # the instance is gone and all its hours are final.
    ledger_from = models.DateTimeField(null=True, blank=True, default=clock.now)
    created_at = models.DateTimeField(default=clock.now)

    # "Exactly one running_primary per agent" on every engine.
    primary_of = models.GeneratedField(
        expression=Case(When(status="running_primary", then=F("agent_id"))),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )

    objects = InstanceQuerySet.as_manager()

    class Meta:
        db_table = "instances"
        indexes = [
            models.Index(fields=["client", "created_at"], name="instance_by_client"),
            models.Index(fields=["created_at"], name="instance_by_age"),  # the operators' list, newest first
            models.Index(fields=["instance_id"], name="instance_by_ec2_id"),  # operators' search, clash warning (R11)
            models.Index(fields=["status", "zombie_since"], name="instance_zombies"),  # sweep_terminations
            models.Index(fields=["ledger_from"], name="instance_ledger_due"),  # roll_up_ledger
            models.Index(fields=["status", "client", "mode"], name="instance_counts"),  # per client and mode: it alone
        ]
        constraints = [
            models.UniqueConstraint(fields=["client", "instance_id"], name="instance_identity"),
            models.UniqueConstraint(fields=["primary_of"], name="instance_one_primary_per_agent"),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "launching",
                        "running_primary",
                        "running_replica",
                        "promoting",
                        "zombie",
                        "terminating",
                        "terminated",
                    ]
                ),
                name="instance_status",
            ),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="instance_mode"),
        ]

    def __str__(self) -> str:
        return self.instance_id

    @property
    def is_primary(self) -> bool:
        return self.status == self.Status.PRIMARY

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def is_gone(self) -> bool:
        return self.status in self.GONE

    @property
    def launch_seconds(self) -> int | None:
        """From the order to the confirmation; None where it was not ordered here."""
        return _seconds_between(self.launch_requested_at, self.launch_confirmed_at)

    @property
    def termination_seconds(self) -> int | None:
        return _seconds_between(self.termination_requested_at, self.terminated_at)


def _seconds_between(start: datetime | None, end: datetime | None) -> int | None:
    return int((end - start).total_seconds()) if start and end else None


class InstanceAlias(models.Model):
    """A temporary id that a v5 launch was announced under; keeps answering on every route (agent-api 9.6)."""

    client = models.ForeignKey(Client, models.CASCADE, related_name="+")
    alias = ExactCharField(max_length=64)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="aliases")

    class Meta:
        db_table = "instance_aliases"
        constraints = [models.UniqueConstraint(fields=["client", "alias"], name="instance_alias_once")]

    def __str__(self) -> str:
        return self.alias


class UsageInterval(models.Model):
    """A stretch of an instance's life with constant role, mode and pool: what the ledger is computed from."""

    class Role(models.TextChoices):
        PRIMARY = "primary"
        REPLICA = "replica"
        ZOMBIE = "zombie"

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="usage")
    role = models.CharField(max_length=8, choices=Role)
    mode = models.CharField(max_length=16, choices=Mode)
    pool_id = ExactCharField(max_length=128, default="", blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    open_for = models.GeneratedField(
        expression=Case(When(ended_at__isnull=True, then=F("instance_id"))),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )

    class Meta:
        db_table = "usage_intervals"
        indexes = [models.Index(fields=["pool_id", "ended_at"], name="usage_by_pool")]  # whose hours a late price moves
        constraints = [
            models.UniqueConstraint(fields=["open_for"], name="usage_one_open_per_instance"),
            models.UniqueConstraint(fields=["instance", "started_at"], name="usage_start_once"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gt=F("started_at")),
                name="usage_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.mode} {self.started_at:%Y-%m-%d %H:%M}"
