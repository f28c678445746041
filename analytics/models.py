from typing import Any, Self

from django.db import models
from django.db.models import F, Q

from agents.models import Agent
from clients.models import Client
from instances.models import Instance, UsageInterval
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import Mode


class UsageLedger(models.Model):
    """What an instance cost in one clock hour in one role, mode and pool, beside what on-demand would have cost.

    `paid_usd` and `baseline_usd` cover `priced_seconds` of the `seconds` used: time without a known price is left
    out, never guessed. Baseline counts the primary's time only (dashboard-api 5.3).
    """

    client = models.ForeignKey(Client, models.CASCADE, related_name="+", db_index=False)  # led by ledger_by_client
    agent = models.ForeignKey(Agent, models.CASCADE, null=True, related_name="+")
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="ledger", db_index=False)  # by the constraint
    hour = models.DateTimeField()  # its start, UTC
    role = models.CharField(max_length=8, choices=UsageInterval.Role)
    mode = models.CharField(max_length=16, choices=Mode)
    pool_id = ExactCharField(max_length=128, default="", blank=True)
    seconds = models.DecimalField(max_digits=10, decimal_places=3)
    priced_seconds = models.DecimalField(max_digits=10, decimal_places=3)
    paid_usd = models.DecimalField(max_digits=16, decimal_places=9)
    baseline_usd = models.DecimalField(max_digits=16, decimal_places=9)

    class Meta:
        db_table = "usage_ledger"
        verbose_name_plural = "usage ledger"
        constraints = [
            models.UniqueConstraint(fields=["instance", "hour", "role", "mode", "pool_id"], name="ledger_once"),
            models.CheckConstraint(condition=Q(priced_seconds__lte=F("seconds")), name="ledger_priced_within_used"),
        ]
        indexes = [models.Index(fields=["client", "hour"], name="ledger_by_client")]  # sums over a period

    def __str__(self) -> str:
        return f"{self.instance_id} {self.hour:%Y-%m-%d %H}:00 {self.role}"


class ClientDay(models.Model):
    """What the ledger says of a client on a UTC day, summed up: pages read this, and never the ledger itself.

    `analytics.services.client_days` keeps it right in the transactions that change the ledger.
    """

    client = models.ForeignKey(Client, models.CASCADE, related_name="+", db_index=False)  # led by the constraint
    day = models.DateField()
    seconds = models.DecimalField(max_digits=15, decimal_places=3, default=0)
    priced_seconds = models.DecimalField(max_digits=15, decimal_places=3, default=0)
    paid_usd = models.DecimalField(max_digits=20, decimal_places=9, default=0)
    baseline_usd = models.DecimalField(max_digits=20, decimal_places=9, default=0)

    class Meta:
        db_table = "client_days"
        constraints = [
            models.UniqueConstraint(fields=["client", "day"], name="client_day_once"),
            models.CheckConstraint(condition=Q(priced_seconds__lte=F("seconds")), name="client_day_priced_within_used"),
        ]

    def __str__(self) -> str:
        return f"{self.client_id} {self.day}"


class SwitchTally(models.Model):
    """How many switches of an agent are on record, by trigger.

    By agent, whose lock every switch is recorded under: a row per client would make its failovers wait for each other.
    """

    agent = models.OneToOneField(Agent, models.CASCADE, related_name="+")
    client = models.ForeignKey(Client, models.CASCADE, related_name="+")
    manual = models.PositiveIntegerField(default=0)
    automatic = models.PositiveIntegerField(default=0)
    emergency = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "switch_tallies"
        verbose_name_plural = "switch tallies"

    def __str__(self) -> str:
        return f"{self.agent_id}"


class ArchivedSavings(models.Model):
    """What the old server said a client had saved (`import_legacy`). It is wrong, and nothing is computed from it."""

    TOTAL = "total"

    client = models.ForeignKey(Client, models.CASCADE, related_name="+", db_index=False)  # led by the constraint
    period = ExactCharField(max_length=8)  # 2025-01, or total
    baseline_usd = models.DecimalField(max_digits=15, decimal_places=4, null=True)
    actual_usd = models.DecimalField(max_digits=15, decimal_places=4, null=True)
    savings_usd = models.DecimalField(max_digits=15, decimal_places=4, null=True)
    computed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "archived_savings"
        verbose_name_plural = "archived savings"
        constraints = [models.UniqueConstraint(fields=["client", "period"], name="archived_savings_once")]

    def __str__(self) -> str:
        return f"{self.client_id} {self.period}"


class ImportCheckpoint(models.Model):
    """How far `import_legacy` came with what has no name of its own: events, and the prices of one pool."""

    subject = ExactCharField(max_length=200, unique=True)
    position = models.JSONField(default=dict)
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "import_checkpoints"

    def __str__(self) -> str:
        return self.subject

    @classmethod
    def of(cls, subject: str) -> Self:
        """Not saved before it is advanced."""
        return cls.objects.filter(subject=subject).first() or cls(subject=subject)

    def advance(self, position: dict[str, Any]) -> None:
        self.position, self.updated_at = position, clock.now()
        self.save()
