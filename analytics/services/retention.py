"""What is deleted when it is old (dashboard-api 5.4). Journal, ledger and switches are kept.

Prices go only after they were accounted for, and the last one before the cut-off stays: it is still in effect there.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery

from agents.models import CleanupLog, Command
from analytics.services.ledger import roll_up
from clients.idempotency import KEPT as IDEMPOTENCY_KEPT
from clients.models import IdempotencyKey, LoginFailures
from decisions import store
from decisions.models import DecisionRecord, ModelSession, Recommendation
from instances.models import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from spotopt.common.db import delete_in_batches

AUDIT_KEPT = timedelta(days=180)  # what people did


def prune(*, dry_run: bool = False) -> dict[str, int]:
    """Rows deleted per table, and files of models no row names; with `dry_run` those that would be."""
    now = clock.now()
    if not dry_run:
        roll_up(now=now)
    counts: dict[str, int] = {}
    for rows in _outdated(now):
        table = rows.model._meta.db_table
        counts[table] = counts.get(table, 0) + (rows.count() if dry_run else delete_in_batches(rows))
    return counts | {"files of models": store.sweep(dry_run=dry_run)}


def _outdated(now: datetime) -> Iterator[QuerySet[Any]]:
    events_before = now - timedelta(days=settings.EVENT_RETENTION_DAYS)
    audit_before = min(events_before, now - AUDIT_KEPT)
    read_before = now - timedelta(days=settings.NOTIFICATION_RETENTION_DAYS)
    unread_before = min(events_before, read_before)
    ended_before = now - timedelta(days=settings.COMMAND_RETENTION_DAYS)
    prices_before = now - timedelta(days=settings.PRICE_RETENTION_DAYS)
    yield SystemEvent.objects.filter(Q(actor="") | Q(created_at__lt=audit_before), created_at__lt=events_before)
    yield Notification.objects.filter(
        Q(read_at__isnull=False) | Q(created_at__lt=unread_before), created_at__lt=read_before
    )
    for status in Command.Status:
        if status not in Command.OPEN:  # one at a time, which the index on status and time serves
            yield Command.objects.filter(status=status, completed_at__lt=ended_before)
    yield IdempotencyKey.objects.filter(created_at__lt=now - IDEMPOTENCY_KEPT)
    yield LoginFailures.objects.filter(since__lt=now - timedelta(days=1))
    yield CleanupLog.objects.filter(received_at__lt=events_before)
    yield DecisionRecord.objects.filter(created_at__lt=events_before)
    yield Recommendation.objects.exclude(status=Recommendation.Status.PENDING).filter(created_at__lt=events_before)
    never_live = ModelSession.objects.filter(status=ModelSession.Status.ARCHIVED, activated_at=None)
    yield never_live.filter(created_at__lt=events_before)
    yield from _superseded(Pool, SpotPriceHistory, "pool", prices_before)
    yield from _superseded(OnDemandPrice, OnDemandPriceHistory, "quote", prices_before)


def _superseded(owners: type[Model], history: type[Model], key: str, before: datetime) -> Iterator[QuerySet[Any]]:
    """Per pool, as the index on (pool, time) serves: rows older than the one in effect at `before`."""
    rows = history._default_manager
    in_effect = rows.filter(**{key: OuterRef("pk")}, at__lte=before).order_by("-at").values("at")[:1]
    for pk, at in owners._default_manager.annotate(at=Subquery(in_effect)).exclude(at=None).values_list("pk", "at"):
        yield rows.filter(**{key: pk}, at__lt=at)
