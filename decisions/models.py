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
    # The same answer again does not fill the table: this record then stands for `evaluations` of them.
    evaluations = models.PositiveIntegerField(default=1)
    last_evaluated_at = models.DateTimeField(default=clock.now)
    created_at = models.DateTimeField(default=clock.now, db_index=True)  # prune_history

    class Meta:
        db_table = "decision_records"
        indexes = [models.Index(fields=["agent", "id"], name="decision_by_agent")]

    def __str__(self) -> str:
        return f"{self.decision_type} {self.public_id[:8]}"


class AgentState(models.Model):
    """What the engine remembers of an agent between two decisions. Losing it costs patience, not correctness."""

    agent = models.OneToOneField(Agent, models.CASCADE, primary_key=True, related_name="decision_state")
    state = models.JSONField(default=dict, blank=True)  # engine.State
    evaluated_at = models.DateTimeField(null=True, blank=True)
    record = models.ForeignKey(DecisionRecord, models.SET_NULL, null=True, blank=True, related_name="+")
    answer = models.CharField(max_length=64, default="", blank=True)  # SHA-256 of what `record` says

    class Meta:
        db_table = "agent_decision_states"

    def __str__(self) -> str:
        return f"{self.agent_id} {self.evaluated_at}"


class PoolExperience(models.Model):
    """What the fleet of all clients went through in a pool; older hours and reclaims count less (engine.memory)."""

    pool_id = ExactCharField(max_length=128, unique=True)
    reclaims = models.FloatField(default=0)
    exposure_hours = models.FloatField(default=0)
    as_of = models.DateTimeField()

    class Meta:
        db_table = "pool_experience"
        verbose_name_plural = "pool experience"

    def __str__(self) -> str:
        return f"{self.pool_id}: {self.reclaims:.2f} in {self.exposure_hours:.0f} h"


class ModelSession(models.Model):
    """A set of uploaded model files that is activated, and rolled back, as one."""

    class Status(models.TextChoices):
        UPLOADED = "uploaded"
        ACTIVE = "active"
        FALLBACK = "fallback"
        ARCHIVED = "archived"

    public_id = PublicIdField()
    status = models.CharField(max_length=16, choices=Status, default=Status.UPLOADED)
    name = models.CharField(max_length=255)
    version = models.CharField(max_length=64)  # without a leading v
    metadata = models.JSONField(default=dict, blank=True)  # what the uploader said of it
    uploaded_by = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=clock.now)
    activated_at = models.DateTimeField(null=True, blank=True)  # the last time
    rolled_back_at = models.DateTimeField(null=True, blank=True)  # since then: it is no choice for a fallback

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
        return f"{self.name} v{self.version}"


class ModelFile(models.Model):
    """One file of a session. Its content lies in MODEL_DIR under its SHA-256 (decisions.store)."""

    session = models.ForeignKey(ModelSession, models.CASCADE, related_name="files")
    name = ExactCharField(max_length=128)
    sha256 = ExactCharField(max_length=64, db_index=True)
    size = models.PositiveBigIntegerField()  # bytes
    metadata = models.JSONField(default=dict, blank=True)  # inputs and outputs: name, type, shape of each

    class Meta:
        db_table = "model_files"
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["session", "name"], name="model_file_name_once")]

    def __str__(self) -> str:
        return self.name


class SpotAdvice(models.Model):
    """What AWS's spot advisor publishes of a type in a region (`load_spot_advisor`): the prior of its risk."""

    instance_type = ExactCharField(max_length=64)
    region = ExactCharField(max_length=32)
    bucket = models.PositiveSmallIntegerField()  # 0..4: share reclaimed in a month <5, 5-10, 10-15, 15-20, >20 %
    savings_percent = models.PositiveSmallIntegerField()  # against on-demand, mean of 30 days
    vcpu = models.FloatField(null=True)
    ram_gb = models.FloatField(null=True)
    loaded_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "spot_advice"
        verbose_name_plural = "spot advice"
        constraints = [
            models.UniqueConstraint(fields=["instance_type", "region"], name="spot_advice_one_per_type_region"),
            models.CheckConstraint(condition=Q(bucket__lte=4), name="spot_advice_bucket_known"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_type} {self.region}: {self.bucket}"
