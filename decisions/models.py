from django.db import models
from django.db.models import Case, Q, Value, When

from agents.models import Agent
from clients.models import Client
from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import Mode, PublicIdField


class DecisionRecord(models.Model):
    """One evaluation of one agent: what was seen, what each candidate was worth, what was decided and why."""

    class Type(models.TextChoices):
        STAY = "stay"
        SWITCH_SPOT = "switch_spot"
        SWITCH_ONDEMAND = "switch_ondemand"

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, related_name="+")
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="decisions")
    decision_type = models.CharField(max_length=16, choices=Type)
    action = models.CharField(max_length=32, default="", blank=True)  # the engine's own word
    source = models.CharField(max_length=16, default="job")
    engine = models.CharField(max_length=64, default="", blank=True)
    engine_version = models.CharField(max_length=32, default="", blank=True)
    current_mode = models.CharField(max_length=16, choices=Mode, default=Mode.UNKNOWN)
    current_pool_id = ExactCharField(max_length=128, default="", blank=True)
    target_pool_id = ExactCharField(max_length=128, default="", blank=True)
    risk_score = models.DecimalField(max_digits=5, decimal_places=4, null=True, blank=True)
    expected_savings = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)  # USD/hour
    confidence = models.DecimalField(max_digits=5, decimal_places=4, null=True, blank=True)
    reason = models.TextField(default="", blank=True)
    details = models.JSONField(default=dict, blank=True)  # inputs, candidates, limits
    command_id = ExactCharField(max_length=64, default="", blank=True)
    created_at = models.DateTimeField(default=clock.now, db_index=True)  # prune_history

    class Meta:
        db_table = "decision_records"
        indexes = [models.Index(fields=["agent", "id"], name="decision_by_agent")]

    def __str__(self) -> str:
        return f"{self.decision_type} {self.public_id[:8]}"


class ModelSession(models.Model):
    """A set of uploaded model files that is activated, and rolled back, as one."""

    class Status(models.TextChoices):
        UPLOADED = "uploaded"
        ACTIVE = "active"
        FALLBACK = "fallback"
        ARCHIVED = "archived"

    public_id = PublicIdField()
    status = models.CharField(max_length=16, choices=Status, default=Status.UPLOADED)
    name = models.CharField(max_length=255, default="", blank=True)
    version = models.CharField(max_length=64, default="", blank=True)
    files = models.JSONField(default=list)  # [{name, size, sha256}]
    total_size = models.BigIntegerField(default=0)
    uploaded_by = models.CharField(max_length=128, default="", blank=True)
    notes = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(default=clock.now)
    activated_at = models.DateTimeField(null=True, blank=True)

    # At most one live and one fallback session: the text is unique, and null (not compared) for all others.
    sole_status = models.GeneratedField(
        expression=Case(
            When(Q(status="active"), then=Value("active")), When(Q(status="fallback"), then=Value("fallback"))
        ),
        output_field=models.CharField(max_length=16, null=True),  # noqa: DJ001
        db_persist=True,
    )

    class Meta:
        db_table = "model_sessions"
        constraints = [models.UniqueConstraint(fields=["sole_status"], name="model_session_one_live_one_fallback")]

    def __str__(self) -> str:
        return self.name or self.public_id
