from typing import Self

from django.db import models
from django.db.models import Case, F, Q, Value, When

from agents.models import Agent
from clients.models import Client
from clients.principals import Principal
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


class Supervised(models.Model):
    """What was uploaded may fail while it is live; then the built-in engine or hazard decides, and people are told."""

    failing_since = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)  # the last time: it rests for a while
    failure = models.CharField(max_length=500, default="", blank=True)

    class Meta:
        abstract = True


class ModelSession(Supervised):
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
    backtest = models.JSONField(default=dict, blank=True)  # the last one (services.trials)

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


class PoolPrediction(models.Model):
    """What the live models said of a pool the last time they were asked (services.predictions)."""

    pool_id = ExactCharField(max_length=128, unique=True)
    session = models.ForeignKey(ModelSession, models.CASCADE, related_name="predictions")
    interruption_probability_24h = models.FloatField()
    expected_price_24h = models.FloatField(null=True, blank=True)  # USD per hour; decides nothing
    predicted_at = models.DateTimeField()

    class Meta:
        db_table = "pool_predictions"

    def __str__(self) -> str:
        return f"{self.pool_id}: {self.interruption_probability_24h:.4f}"


class UploadedEngine(Supervised):
    """Code that decides in a worker's process. Its content lies in DECISION_ENGINE_DIR under its SHA-256."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        ARCHIVED = "archived"

    public_id = PublicIdField()
    status = models.CharField(max_length=16, choices=Status)
    name = ExactCharField(max_length=128)  # of the file
    sha256 = ExactCharField(max_length=64)
    size = models.PositiveIntegerField()  # bytes
    uploaded_by = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=clock.now)
    activated_at = models.DateTimeField(default=clock.now)  # the last time

    sole_status = models.GeneratedField(  # as of model sessions: one is live
        expression=Case(When(Q(status="active"), then=Value("active"))),
        output_field=models.CharField(max_length=16, null=True),  # noqa: DJ001
        db_persist=True,
    )

    class Meta:
        db_table = "uploaded_engines"
        constraints = [models.UniqueConstraint(fields=["sole_status"], name="uploaded_engine_one_live")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def version(self) -> str:
        return self.sha256[:8]


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


class RecommendationQuerySet(models.QuerySet["Recommendation"]):
    def for_principal(self, who: Principal) -> Self:
        return self if who.is_operator else self.filter(client=who.client)

    def pending(self) -> Self:
        return self.filter(status=Recommendation.Status.PENDING)


class Recommendation(models.Model):
    """A move that waits for a person (`approve` mode), or waited. Changed under its agent's lock."""

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        EXPIRED = "expired"

    public_id = PublicIdField()
    client = models.ForeignKey(Client, models.CASCADE, related_name="+", db_index=False)  # led by the indexes
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="recommendations", db_index=False)
    decision_id = ExactCharField(max_length=64)  # the record that explains it; pruned earlier or later than this
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    # Where the workload was, and where it shall go
    instance_id = ExactCharField(max_length=64)
    current_mode = models.CharField(max_length=16, choices=Mode)
    current_pool_id = ExactCharField(max_length=128, default="", blank=True)
    target_mode = models.CharField(max_length=16, choices=Mode)
    target_pool_id = ExactCharField(max_length=128, default="", blank=True)
    expected_savings = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)  # USD/hour
    reason = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(default=clock.now, db_index=True)  # prune_history
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)  # or when it expired
    decided_by = models.CharField(max_length=64, default="", blank=True)
    note = models.TextField(default="", blank=True)  # why it was rejected, or expired
    command_id = ExactCharField(max_length=64, default="", blank=True)

    # At most one waits per agent: null, and so not compared, once it is decided.
    pending_for = models.GeneratedField(
        expression=Case(When(status="pending", then=F("agent_id"))),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )

    objects = RecommendationQuerySet.as_manager()

    class Meta:
        db_table = "recommendations"
        constraints = [models.UniqueConstraint(fields=["pending_for"], name="recommendation_one_pending")]
        indexes = [
            models.Index(fields=["agent", "status", "decided_at"], name="recommendation_by_agent"),  # run_decisions
            models.Index(fields=["client", "id"], name="recommendation_by_client"),  # lists, newest first
            models.Index(fields=["client", "status", "id"], name="recommendation_of_status"),
            models.Index(fields=["status", "id"], name="recommendation_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.target_pool_id or self.target_mode} {self.public_id[:8]}"


class Shadow(models.Model):
    """Where an agent's workload would be had every decision been carried out since it left `auto` mode."""

    agent = models.OneToOneField(Agent, models.CASCADE, primary_key=True, related_name="shadow")
    instance_type = models.CharField(max_length=64)
    region = models.CharField(max_length=32)
    mode = models.CharField(max_length=16, choices=Mode)
    pool_id = ExactCharField(max_length=128, default="", blank=True)
    since = models.DateTimeField(null=True, blank=True)  # its last move; until it made one, the workload's
    is_fallback = models.BooleanField(default=False)
    state = models.JSONField(default=dict, blank=True)  # engine.State
    moves = models.JSONField(default=dict, blank=True)  # of the last week: {"planned": [time], "recoveries": [time]}
    real_instance_id = ExactCharField(max_length=64, default="", blank=True)  # the primary when it was last moved on
    followed_at = models.DateTimeField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)  # back in `auto`
    computed_until = models.DateTimeField(db_index=True)  # roll_up_shadows

    class Meta:
        db_table = "shadows"

    def __str__(self) -> str:
        return f"{self.agent_id} {self.pool_id or self.mode}"


class ShadowStay(models.Model):
    """The shadow's journal, as `UsageInterval` is the workload's."""

    agent = models.ForeignKey(Agent, models.CASCADE, related_name="+", db_index=False)  # led by the constraint
    instance_type = models.CharField(max_length=64)
    region = models.CharField(max_length=32)
    mode = models.CharField(max_length=16, choices=Mode)
    pool_id = ExactCharField(max_length=128, default="", blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    overlap_seconds = models.PositiveIntegerField(default=0)  # billed beyond the end: the old instance beside the new

    class Meta:
        db_table = "shadow_stays"
        constraints = [models.UniqueConstraint(fields=["agent", "started_at"], name="shadow_stay_once")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.pool_id or self.mode} {self.started_at:%Y-%m-%d %H:%M}"


class ShadowDay(models.Model):
    """Both bills of an agent for the same time of a UTC day (`analytics.services.shadows`)."""

    client = models.ForeignKey(Client, models.CASCADE, related_name="+", db_index=False)  # led by the index
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="+", db_index=False)  # led by the constraint
    day = models.DateField()
    seconds = models.DecimalField(max_digits=10, decimal_places=3)  # in which both ran
    priced_seconds = models.DecimalField(max_digits=10, decimal_places=3)  # of these: both prices are known
    real_usd = models.DecimalField(max_digits=16, decimal_places=9)
    shadow_usd = models.DecimalField(max_digits=16, decimal_places=9)

    class Meta:
        db_table = "shadow_days"
        constraints = [
            models.UniqueConstraint(fields=["agent", "day"], name="shadow_day_once"),
            models.CheckConstraint(condition=Q(priced_seconds__lte=F("seconds")), name="shadow_day_priced_within_used"),
        ]
        indexes = [models.Index(fields=["client", "day"], name="shadow_day_by_client")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.day}"
