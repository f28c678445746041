"""What was uploaded and fails while it is live: one event, a rest, and one more event when it has long been well."""

import logging
from datetime import timedelta

from django.db.models import Q

from decisions.models import ModelSession, UploadedEngine
from notifications.models import Severity
from notifications.services import emit
from spotopt.common import clock

log = logging.getLogger(__name__)

REST = timedelta(minutes=5)  # after a failure; a process that hangs must not cost its time limit in each round
WELL_AFTER = timedelta(hours=1)  # without a failure: what fails now and then is one trouble, not many

Uploaded = ModelSession | UploadedEngine
EVENTS = {ModelSession: "ml_models", UploadedEngine: "decision_engine"}
INSTEAD = {ModelSession: "the built-in hazard is used", UploadedEngine: "the built-in engine decides"}


def is_resting(uploaded: Uploaded) -> bool:
    return uploaded.failed_at is not None and clock.now() - uploaded.failed_at < REST


def note_failure(uploaded: Uploaded, reason: str) -> None:
    """The event is raised by whoever notes the first failure, whatever runs beside it."""
    kind, now = type(uploaded), clock.now()
    log.warning("%s %s failed: %s", kind.__name__, uploaded.public_id, reason)
    rows = kind.objects.filter(pk=uploaded.pk)
    is_first = rows.filter(failing_since=None).update(failing_since=now)
    rows.update(failed_at=now, failure=reason[:500])
    if is_first:
        emit(
            event_type=f"{EVENTS[kind]}_failed",
            message=f"{uploaded} failed, so {INSTEAD[kind]}: {reason}"[:1000],
            severity=Severity.ERROR,
            metadata={"id": uploaded.public_id, "reason": reason[:500]},
        )


def note_success(uploaded: Uploaded) -> None:
    """No statement while nothing was wrong."""
    if uploaded.failing_since is None:
        return
    kind, rows = type(uploaded), type(uploaded).objects.filter(pk=uploaded.pk)
    is_over = rows.filter(Q(failed_at__lte=clock.now() - WELL_AFTER), failing_since__isnull=False)
    if is_over.update(failing_since=None, failed_at=None, failure=""):
        emit(event_type=f"{EVENTS[kind]}_recovered", message=f"{uploaded} is well again", metadata=_id(uploaded))


def _id(uploaded: Uploaded) -> dict[str, str]:
    return {"id": uploaded.public_id}
