from typing import Self

from django.db import models
from django.db.models import Q

from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import DecisionMode, PublicIdField


class ClientQuerySet(models.QuerySet["Client"]):
    def holding(self, hashes: list[str]) -> Self:
        """The client whose token has one of these keyed hashes (one per accepted pepper)."""
        return self.filter(token_hash__in=hashes)


class Client(models.Model):
    """A customer account (tenant): owns agents and the one token they all share."""

    public_id = PublicIdField()
    name = models.CharField(max_length=255)
    name_key = ExactCharField(max_length=255, unique=True, editable=False)  # the name folded: unique in any case
    email = models.EmailField(max_length=255, unique=True, null=True, blank=True)  # noqa: DJ001 (unique when present)
    is_active = models.BooleanField(default=True)
    token_hash = ExactCharField(max_length=64, unique=True, editable=False)
    token_encrypted = models.TextField(editable=False)
    default_auto_switch_enabled = models.BooleanField(default=True)
    default_auto_terminate_enabled = models.BooleanField(default=True)
    default_terminate_wait_seconds = models.PositiveIntegerField(default=300)
    decision_mode = models.CharField(max_length=16, choices=DecisionMode, default=DecisionMode.AUTO)
    created_at = models.DateTimeField(default=clock.now)

    objects = ClientQuerySet.as_manager()

    class Meta:
        db_table = "clients"
        permissions = [
            ("operate", "Can give orders to the fleet through the API"),
            ("administer", "Can manage clients, tokens and uploads through the API"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> str:
        return "active" if self.is_active else "inactive"


class ClientTombstone(models.Model):
    """What is kept of a deleted client, so that growth charts stay true."""

    public_id = PublicIdField(default=None)
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "client_tombstones"

    def __str__(self) -> str:
        return self.name


class IdempotencyKey(models.Model):
    """The stored answer to a request with an X-Request-ID (dashboard-api 1.11); kept 24 h."""

    principal = ExactCharField(max_length=80)
    method = models.CharField(max_length=8)
    path_hash = ExactCharField(max_length=64)  # SHA-256: paths may be longer than an index allows
    key = ExactCharField(max_length=128)
    body_hash = ExactCharField(max_length=64)
    claimed_at = models.DateTimeField(default=clock.now)  # by the request that runs; another one may take over later
    status_code = models.PositiveSmallIntegerField(null=True)  # null while that request is still running
    answer_encrypted = models.TextField(editable=False, default="")  # it may hold a token
    created_at = models.DateTimeField(default=clock.now, db_index=True)  # pruned by age

    class Meta:
        db_table = "idempotency_keys"
        constraints = [
            models.UniqueConstraint(fields=["principal", "method", "path_hash", "key"], name="idempotency_once"),
            models.CheckConstraint(condition=Q(method__in=["POST", "PUT", "DELETE"]), name="idempotency_method"),
        ]

    def __str__(self) -> str:
        return self.key


class LoginFailures(models.Model):
    """Failed sign-ins of late, by caller, by user name, and by both."""

    subject = ExactCharField(max_length=64, unique=True)  # a keyed hash: people type passwords into the wrong field
    failures = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(default=clock.now, db_index=True)  # pruned by age

    class Meta:
        db_table = "login_failures"

    def __str__(self) -> str:
        return f"{self.failures} since {clock.isoformat(self.since)}"
