from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from django.apps import apps
from django.conf import settings
from django.db import connections, models
from django.db.models import Case, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Now

from clients.models import Client
from clients.principals import Principal
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import DecisionMode, Mode, PriceField, PublicIdField

HEARD_AT_ONCE = 200


class AgentQuerySet(models.QuerySet["Agent"]):
    def for_principal(self, who: Principal) -> Self:
        return self if who.is_operator else self.filter(client=who.client)

    def living(self) -> Self:
        return self.exclude(status=Agent.Status.DELETED)

    def update(self, **values: Any) -> int:
        """Makes every process forget what it remembers of these agents (agents.memory)."""
        return super().update(**{"changed_at": Now()} | values)

    def hear(self, heard: Mapping[tuple[int, str], datetime]) -> int:
        """Write when each (agent, instance) was last heard, in one statement per HEARD_AT_ONCE; nothing else changes.

        An instance that is no longer its agent's primary, or an agent that went offline, is left as it is.
        """
        rows = sorted(heard.items())
        return sum(self._hear(rows[n : n + HEARD_AT_ONCE]) for n in range(0, len(rows), HEARD_AT_ONCE))

    def _hear(self, rows: Sequence[tuple[tuple[int, str], datetime]]) -> int:
        # By hand: Django takes longer to build this statement for a second's heartbeats than the database to run it.
        adapt = connections[self.db].ops.adapt_datetimefield_value
        times = [value for (pk, _), at in rows for value in (pk, adapt(at))]
        wanted = [value for (pk, instance_id), at in rows for value in (pk, instance_id, adapt(at))]
        statuses = ", ".join(["%s"] * len(Agent.HEARD))
        is_it = "(id = %s AND instance_id = %s AND (last_heartbeat_at IS NULL OR last_heartbeat_at <= %s))"
        sql = (
            f"UPDATE agents SET last_heartbeat_at = CASE id{' WHEN %s THEN %s' * len(rows)} END "  # noqa: S608
            f"WHERE status IN ({statuses}) AND ({' OR '.join([is_it] * len(rows))})"
        )
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, [*times, *Agent.HEARD, *wanted])
            return int(cursor.rowcount)

    def with_counts(self) -> Self:
        """Adds, in the same statement, `replica_count` (standbys launching, syncing or ready) and `open_commands`."""
        replica = apps.get_model("instances", "Replica")  # instances imports agents, so it is asked for by name
        return self.annotate(
            replica_count=_count(replica.objects.active()), open_commands=_count(Command.objects.open())
        )


def _count(rows: models.QuerySet[Any]) -> Coalesce:
    """How many of `rows` belong to the outer query's agent."""
    counted = rows.filter(agent=OuterRef("pk")).order_by().values("agent").annotate(number=models.Count("pk"))
    return Coalesce(Subquery(counted.values("number")), Value(0))


class Agent(models.Model):
    """A logical agent: the identity that survives when its workload moves to another instance."""

    class Status(models.TextChoices):
        ONLINE = "online"
        OFFLINE = "offline"
        DISABLED = "disabled"
        SWITCHING = "switching"
        ERROR = "error"
        DELETED = "deleted"

    HEARD = (Status.ONLINE, Status.DISABLED, Status.SWITCHING)  # a heartbeat can leave it as it is

    class Protocol(models.TextChoices):
        """Generation of the wire protocol (agent-api 1.1); empty until there is evidence."""

        V2 = "v2"
        V4 = "v4"
        V4B = "v4b"
        V5 = "v5"

    class Notice(models.TextChoices):
        NONE = "none"
        REBALANCE = "rebalance"
        TERMINATION = "termination"

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, related_name="agents")
    logical_agent_id = ExactCharField(max_length=255)
    # Null once deleted: a reinstalled agent gets a new row, the old one keeps its history (agent-api R10).
    live_logical_id = models.GeneratedField(
        expression=Case(When(~Q(status="deleted"), then=F("logical_agent_id"))),
        output_field=ExactCharField(max_length=255, null=True),
        db_persist=True,
    )
    merged_into = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="+")
    protocol = models.CharField(max_length=8, choices=Protocol, default="", blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.ONLINE)
    enabled = models.BooleanField(default=True)
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)  # of the primary; others have last_seen_at

    # The primary instance, copied here so that polls need one row. instances.services.roles keeps it true.
    instance_id = ExactCharField(max_length=64, default="", blank=True)
    instance_type = models.CharField(max_length=64, default="", blank=True)
    region = models.CharField(max_length=32, default="", blank=True)
    az = models.CharField(max_length=48, default="", blank=True)
    ami_id = models.CharField(max_length=64, default="", blank=True)
    current_mode = models.CharField(max_length=16, choices=Mode, default=Mode.UNKNOWN)
    current_pool_id = ExactCharField(max_length=128, default="", blank=True)  # empty on on-demand
    hostname = models.CharField(max_length=255, default="", blank=True)
    agent_version = models.CharField(max_length=32, default="", blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    # Settings
    config_version = models.PositiveIntegerField(default=1)
    auto_switch_enabled = models.BooleanField(default=True)
    decision_mode = models.CharField(max_length=16, choices=DecisionMode, default="", blank=True)  # empty: the client's
    auto_terminate_enabled = models.BooleanField(default=True)
    terminate_wait_seconds = models.PositiveIntegerField(default=300)
    replica_enabled = models.BooleanField(default=False)
    replica_target = models.PositiveSmallIntegerField(default=0)
    manual_replica_enabled = models.BooleanField(default=False)
    emergency_protection = models.BooleanField(default=True)
    min_savings_percent = models.DecimalField(max_digits=5, decimal_places=2, default=15)
    risk_threshold = models.DecimalField(max_digits=3, decimal_places=2, default=Decimal("0.30"))
    max_switches_per_week = models.PositiveIntegerField(default=10)
    max_switches_per_day = models.PositiveIntegerField(default=3)
    min_pool_duration_hours = models.PositiveIntegerField(default=2)

    # Interruptions and moves
    notice_status = models.CharField(max_length=16, choices=Notice, default=Notice.NONE)
    notice_received_at = models.DateTimeField(null=True, blank=True)
    notice_deadline = models.DateTimeField(null=True, blank=True)
    last_rebalance_recommendation_at = models.DateTimeField(null=True, blank=True)
    last_switch_at = models.DateTimeField(null=True, blank=True)
    last_failover_at = models.DateTimeField(null=True, blank=True)
    interruptions_handled = models.PositiveIntegerField(default=0)
    takeover_count = models.PositiveSmallIntegerField(default=0)  # unexpected ones in the window that starts at:
    takeover_window_at = models.DateTimeField(null=True, blank=True)
    last_cleanup_at = models.DateTimeField(null=True, blank=True)
    installed_at = models.DateTimeField(default=clock.now)
    created_at = models.DateTimeField(default=clock.now)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # By the database's own clock. Set by every change of what the agent is told, orders, standbys and instances
    # included (`lock_agent`): web processes then forget what they remember of it (agents.memory).
    changed_at = models.DateTimeField(db_default=Now(), editable=False, db_index=True)

    objects = AgentQuerySet.as_manager()

    replica_count: int  # by with_counts()
    open_commands: int

    class Meta:
        db_table = "agents"
        indexes = [models.Index(fields=["status", "last_heartbeat_at"], name="agent_status_seen")]  # sweep_agents
        constraints = [
            models.UniqueConstraint(fields=["client", "live_logical_id"], name="agent_one_live_logical_id"),
            models.CheckConstraint(
                condition=Q(
                    status__in=["online", "offline", "disabled", "switching", "error", "deleted"],
                ),
                name="agent_status",
            ),
            models.CheckConstraint(
                condition=Q(auto_switch_enabled=False) | Q(manual_replica_enabled=False),
                name="agent_auto_switch_or_manual_replica",
            ),
        ]

    def __str__(self) -> str:
        return self.logical_agent_id

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Makes every process forget what it remembers of this agent (agents.memory)."""
        self.changed_at = Now()
        fields = None if update_fields is None else {*update_fields, "changed_at"}
        super().save(update_fields=fields, **options)

    @property
    def is_deleted(self) -> bool:
        return self.status == self.Status.DELETED

    @property
    def effective_wait_seconds(self) -> int:
        """What a switch command carries: 0 means the old instance is left running (agent-api 3.30)."""
        return self.terminate_wait_seconds if self.auto_terminate_enabled else 0

    @property
    def acting_mode(self) -> DecisionMode:
        """What becomes of a decision to move it; while auto-switch is off, nothing. Join the client to read many."""
        if not self.auto_switch_enabled:
            return DecisionMode.RECOMMEND
        return DecisionMode(self.decision_mode or self.client.decision_mode)

    def is_silent(self, *, at: datetime | None = None) -> bool:
        """No heartbeat within AGENT_HEARTBEAT_TIMEOUT seconds before `at`."""
        limit = timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
        return self.last_heartbeat_at is None or (at or clock.now()) - self.last_heartbeat_at > limit


class CommandQuerySet(models.QuerySet["Command"]):
    def open(self) -> Self:
        return self.filter(status__in=Command.OPEN)


class Command(models.Model):
    """An order queued to an agent. Delivered at least once, executed at most once (agent-api 2.4, 3.5, 3.8)."""

    class Type(models.TextChoices):
        SWITCH = "switch"  # v2, v4
        CREATE_REPLICA = "create_replica"  # v4
        LAUNCH_INSTANCE = "LAUNCH_INSTANCE"  # v5, as all below
        TERMINATE_INSTANCE = "TERMINATE_INSTANCE"
        PROMOTE_REPLICA_TO_PRIMARY = "PROMOTE_REPLICA_TO_PRIMARY"
        APPLY_CONFIG = "APPLY_CONFIG"
        SELF_DESTRUCT = "SELF_DESTRUCT"

    V4_TYPES = (Type.SWITCH, Type.CREATE_REPLICA)
    V5_TYPES = (
        Type.LAUNCH_INSTANCE,
        Type.TERMINATE_INSTANCE,
        Type.PROMOTE_REPLICA_TO_PRIMARY,
        Type.APPLY_CONFIG,
        Type.SELF_DESTRUCT,
    )

    class Purpose(models.TextChoices):
        """What the order is for, whatever the dialect calls it: a v5 switch is a LAUNCH_INSTANCE."""

        SWITCH = "switch"
        REPLICA = "replica"
        TERMINATE = "terminate"
        OTHER = "other"

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        COMPLETED = "completed"
        FAILED = "failed"
        SUPERSEDED = "superseded"
        EXPIRED = "expired"
        CANCELLED = "cancelled"

    OPEN = (Status.PENDING, Status.DELIVERED)
    DEAD = (Status.FAILED, Status.SUPERSEDED, Status.EXPIRED, Status.CANCELLED)

    class Priority(models.IntegerChoices):
        EMERGENCY = 100
        MANUAL = 75
        URGENT = 50
        NORMAL = 25
        SCHEDULED = 10

    public_id = PublicIdField()
    request_id = PublicIdField()  # v5 correlates by it: unique and never null
    client = models.ForeignKey(Client, models.CASCADE, related_name="commands")
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="commands")
    command_type = models.CharField(max_length=32, choices=Type)
    purpose = models.CharField(max_length=16, choices=Purpose, default=Purpose.OTHER)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    priority = models.PositiveSmallIntegerField(default=Priority.NORMAL)
    instance_id = ExactCharField(max_length=64, default="", blank=True)  # the instance the order is for
    target_mode = models.CharField(max_length=16, default="", blank=True)
    target_pool_id = ExactCharField(max_length=128, default="", blank=True)
    terminate_wait_seconds = models.PositiveIntegerField(default=0)
    params = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_by = models.CharField(max_length=64, default="system")  # manual, model, system or an operator
    reason = models.CharField(max_length=255, default="", blank=True)
    created_at = models.DateTimeField(default=clock.now)
    # Pending: dropped rather than run late. Delivered: no result by then counts as failed.
    expires_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True, blank=True)
    delivered_to = ExactCharField(max_length=64, default="", blank=True)
    executed_at = models.DateTimeField(null=True, blank=True)
    timed_out = models.BooleanField(default=False)  # failed for want of a result: a late success still counts
    completed_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(default="", blank=True)
    result = models.JSONField(default=dict, blank=True)

    # "One open switch command per agent" on every engine: null, and so not compared, unless open and a switch.
    open_switch_for = models.GeneratedField(
        expression=Case(When(purpose="switch", status__in=["pending", "delivered"], then=F("agent_id"))),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )

    objects = CommandQuerySet.as_manager()

    class Meta:
        db_table = "commands"
        indexes = [
            models.Index(fields=["agent", "status", "priority", "id"], name="command_queue"),  # an agent's poll
            models.Index(fields=["status", "expires_at"], name="command_expiry"),  # expire_commands
            models.Index(fields=["status", "completed_at"], name="command_retention"),  # prune_history
        ]
        constraints = [
            models.UniqueConstraint(fields=["open_switch_for"], name="command_one_open_switch"),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "pending",
                        "delivered",
                        "completed",
                        "failed",
                        "superseded",
                        "expired",
                        "cancelled",
                    ]
                ),
                name="command_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.command_type} {self.public_id[:8]}"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN


class PricingReport(models.Model):
    """The last few price reports of an agent, as a ring of SLOTS rows: a dashboard shows them (dashboard-api 2.5)."""

    SLOTS = 8

    agent = models.ForeignKey(Agent, models.CASCADE, related_name="pricing_reports")
    slot = models.PositiveSmallIntegerField()
    received_at = models.DateTimeField()
    instance_id = ExactCharField(max_length=64, default="", blank=True)
    ondemand_price = PriceField(null=True, blank=True)
    spot_price = PriceField(null=True, blank=True)
    pools = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "pricing_reports"
        constraints = [models.UniqueConstraint(fields=["agent", "slot"], name="pricing_report_slot")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.received_at:%Y-%m-%d %H:%M}"


class CleanupLog(models.Model):
    """What an agent's hourly clean-up of snapshots and images did."""

    agent = models.ForeignKey(Agent, models.CASCADE, related_name="cleanups")
    reported_at = models.DateTimeField()
    deleted_snapshots = models.PositiveIntegerField(default=0)
    deleted_amis = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    details = models.JSONField(default=dict, blank=True)
    received_at = models.DateTimeField(default=clock.now, db_index=True)  # prune_history

    class Meta:
        db_table = "cleanup_logs"
        constraints = [models.UniqueConstraint(fields=["agent", "reported_at"], name="cleanup_once")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.reported_at:%Y-%m-%d %H:%M}"
