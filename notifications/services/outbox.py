"""From the inbox to webhooks and e-mail: at least once each, and in practice once (docs/notifications.md).

`forward` turns new notifications into deliveries, one per target that wants it; `deliver_due` sends what is due. A job
takes deliveries by moving their next attempt into the future, so several jobs share the work, and what a job that was
killed had taken is tried again.
"""

import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F

from notifications.models import Delivery, EmailRecipient, Notification, WebhookEndpoint
from notifications.services import emit, messages
from notifications.services.outbound import SendingFailed
from spotopt.common import clock
from spotopt.common.db import retried_transaction

log = logging.getLogger(__name__)

Status = Delivery.Status
BATCH = 20  # taken at a time
AT_ONCE = 8  # sent at a time
ROUND_SECONDS = 30.0  # then the rest waits for the next round
LEASE = timedelta(minutes=3)  # longer than a batch can take
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
MOST_ATTEMPTS = 12  # within about five hours
FORWARDED_AT_ONCE = 500

Target = WebhookEndpoint | EmailRecipient


@dataclass
class Tally:
    sent: int = 0
    failed: int = 0
    given_up: int = 0


def forward() -> int:
    """How many deliveries were made of notifications nobody had looked at. Two jobs at once do no harm."""
    made = 0
    targets = _targets()
    while batch := list(Notification.objects.filter(is_forwarded=False).order_by("id")[:FORWARDED_AT_ONCE]):
        made += _forward(batch, targets)
    return made


def _targets() -> list[Target]:
    return [
        *WebhookEndpoint.objects.filter(is_active=True).order_by("id"),
        *EmailRecipient.objects.filter(is_active=True).order_by("id"),
    ]


@retried_transaction
def _forward(batch: list[Notification], targets: list[Target]) -> int:
    wanted = [_delivery(n, target) for n in batch for target in targets if _is_for(n, target)]
    Delivery.objects.bulk_create(wanted, ignore_conflicts=True)  # the other job may have made some: dedupe_key
    Notification.objects.filter(pk__in=[n.pk for n in batch]).update(is_forwarded=True)
    return len(wanted)


def _is_for(notification: Notification, target: Target) -> bool:
    """Nothing from before the target was set up; a pricing alert names the channels it is for."""
    channels = notification.metadata.get("channels")
    if channels is not None and target.CHANNEL not in channels:
        return False
    return notification.created_at >= target.created_at and target.wants(notification)


def _delivery(notification: Notification, target: Target) -> Delivery:
    return Delivery(
        notification=notification,
        endpoint=target if isinstance(target, WebhookEndpoint) else None,
        recipient=target if isinstance(target, EmailRecipient) else None,
        dedupe_key=f"{notification.pk}:{target.CHANNEL}:{target.pk}",
    )


def deliver_due() -> Tally:
    """Send what is due, some at a time; outside of any transaction, and without the database in the threads."""
    tally = Tally()
    started = time.monotonic()
    while time.monotonic() - started < ROUND_SECONDS and (batch := _take()):
        with ThreadPoolExecutor(max_workers=AT_ONCE) as threads:
            problems = list(threads.map(_attempt, batch))
        for delivery, problem in zip(batch, problems, strict=True):
            _record(delivery, problem, tally)
    return tally


@retried_transaction
def _take() -> list[Delivery]:
    now = clock.now()
    due = Delivery.objects.filter(status=Status.PENDING, next_attempt_at__lte=now)
    free = due.select_for_update(skip_locked=True).order_by("next_attempt_at", "id")
    pks = list(free.values_list("pk", flat=True)[:BATCH])
    Delivery.objects.filter(pk__in=pks).update(attempts=F("attempts") + 1, next_attempt_at=now + LEASE)
    related = ("notification__client", "endpoint", "recipient")
    return list(Delivery.objects.filter(pk__in=pks).select_related(*related).order_by("pk"))


def _attempt(delivery: Delivery) -> str:
    """What went wrong; empty when it was sent."""
    if not delivery.target.is_active:
        return "It was switched off"
    try:
        messages.send(target=delivery.target, notification=delivery.notification, delivery_id=delivery.public_id)
    except SendingFailed as problem:
        return str(problem)
    except Exception:  # a defect of ours; the others in the batch must not suffer
        log.exception("delivery %s failed", delivery.public_id)
        return "Internal error"
    return ""


def _record(delivery: Delivery, problem: str, tally: Tally) -> None:
    if not problem:
        tally.sent += _settle(delivery, status=Status.SENT, sent_at=clock.now(), last_error="")
    elif delivery.attempts >= MOST_ATTEMPTS or not delivery.target.is_active:
        tally.given_up += _give_up(delivery, problem)
    else:
        again_at = clock.now() + pause_after(delivery.attempts)
        tally.failed += _settle(delivery, next_attempt_at=again_at, last_error=problem[:255])


def _settle(delivery: Delivery, **outcome: object) -> int:
    """Compare-and-set: after a lease ran out, the attempt counted is the latest one."""
    mine = Delivery.objects.filter(pk=delivery.pk, status=Status.PENDING, attempts=delivery.attempts)
    return mine.update(**outcome)


@retried_transaction
def _give_up(delivery: Delivery, problem: str) -> int:
    """An event and no notification, which would have to be delivered in turn."""
    given_up = _settle(delivery, status=Status.FAILED, last_error=problem[:255])
    if given_up:
        emit(
            event_type="delivery_failed",
            severity="error",
            client=delivery.notification.client,
            message=f"A notification could not be delivered to {delivery.target}: {problem}",
            metadata={"delivery_id": delivery.public_id, "attempts": delivery.attempts},
        )
    return given_up


def pause_after(attempts: int) -> timedelta:
    """30 s, 1 min, 2 min … 1 h, and up to a tenth more, so that what failed together does not return together."""
    pause: timedelta = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
    return pause * (1 + random.random() / 10)  # noqa: S311 (chance, not cryptography)


def retry(*, deliveries: list[Delivery]) -> int:
    """Deliveries that were given up start over."""
    failed = Delivery.objects.filter(pk__in=[d.pk for d in deliveries], status=Status.FAILED)
    return failed.update(status=Status.PENDING, attempts=0, next_attempt_at=clock.now())


def send_test(*, target: Target) -> str:
    """Right now and without a trace in the outbox. What went wrong; empty when it was sent."""
    message = Notification(
        client=target.client,
        notification_type="test",
        message="This is a test: notifications of Spot Optimizer will arrive here.",
    )
    try:
        messages.send(target=target, notification=message, delivery_id=message.public_id)
    except SendingFailed as problem:
        return str(problem)
    return ""
