"""Model sessions: uploaded, made live and rolled back as one (dashboard-api 3.2 to 3.4).

A change of what is live has steps: find the session, see that its files load, for an activation replay the recorded
history with it, exchange the states in one transaction. Whatever fails before the last leaves everything as it is.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

from django.db.models import Q

from decisions import store
from decisions.errors import (
    AlreadyLive,
    ChecksUnavailable,
    ModelRefused,
    ModelsWorse,
    NoFallback,
    SessionNotFound,
    SessionsChanged,
)
from decisions.models import ModelFile, ModelSession
from decisions.services.checks import Checks
from decisions.services.model_files import HOW_TO_CONVERT, is_onnx, is_runnable
from decisions.services.predictions import SECONDS, asked
from decisions.services.trials import Status as Trials
from decisions.services.trials import Trial, trial_of, try_out
from decisions.services.workers import CannotContain, WorkerFailed
from decisions.uploads import StagedFile
from notifications.models import Severity
from notifications.services import emit
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.fields import new_id

log = logging.getLogger(__name__)

Status = ModelSession.Status
FORCED = (Trials.WORSE, Trials.UNFINISHED)  # then it takes a reason
T = TypeVar("T")


def upload_models(
    *, files: Sequence[StagedFile], name: str = "", version: str = "", model_type: str = "", actor: str
) -> ModelSession:
    """A new session, waiting for its activation; the live one is not touched. Raises ModelRefused."""
    checks = Checks()
    found = [checks.model(file.name, file.path, sha256=file.sha256) if is_onnx(file.name) else {} for file in files]
    rows = [
        ModelFile(name=file.name, sha256=file.sha256, size=file.size, metadata=metadata)
        for file, metadata in zip(files, found, strict=True)
    ]
    public_id = new_id()
    session = ModelSession(
        public_id=public_id,
        name=name or PurePath(files[0].name).stem,
        version=version.lstrip("vV") or public_id[:8],
        metadata={"model_type": model_type} if model_type else {},
        uploaded_by=actor,
        created_at=clock.now(),
    )
    with store.unswept(), store.room_needed():
        for file in files:
            store.keep(file.path, store.path_of(file.sha256))
        _insert(session, rows)
    return session


@retried_transaction
def _insert(session: ModelSession, files: list[ModelFile]) -> None:
    """Older ones that wait are archived: the page shows one."""
    ModelSession.objects.filter(status=Status.UPLOADED).update(status=Status.ARCHIVED)
    session.pk = None
    session.save(force_insert=True)
    for file in files:
        file.pk, file.session = None, session
    ModelFile.objects.bulk_create(files)
    _record(session, "ml_models_uploaded", f"Models {session} uploaded", session.uploaded_by)


def activate(*, session_id: str, actor: str, forced_because: str = "") -> ModelSession:
    """It becomes live, the live one the fallback. `forced_because`: even if the backtest says that it is worse.

    Raises SessionNotFound, AlreadyLive, ModelRefused, or ModelsWorse, with the backtest's result on record.
    """
    session = ModelSession.objects.filter(public_id=session_id).first()
    if session is None:
        raise SessionNotFound
    if session.status == Status.ACTIVE:
        raise AlreadyLive
    _refuse_broken(session)
    trial = _tried(session)
    forced_because = forced_because if trial.status in FORCED else ""
    ModelSession.objects.filter(pk=session.pk).update(backtest=trial.as_json() | {"forced_because": forced_because})
    if trial.status in FORCED and not forced_because:
        message = f"Models {session} would do worse than what is live: {trial}. They can be forced, with a reason."
        raise ModelsWorse(message if trial.status is Trials.WORSE else str(trial), details=trial.as_json())
    return _make_live(session.pk, actor, trial, forced_because)


@retried_transaction
def _make_live(pk: int, actor: str, trial: Trial, forced_because: str) -> ModelSession:
    session = _lock(pk)
    if session is None:
        raise SessionNotFound
    if session.status == Status.ACTIVE:
        raise AlreadyLive
    ModelSession.objects.filter(status=Status.FALLBACK).update(status=Status.ARCHIVED)
    ModelSession.objects.filter(status=Status.ACTIVE).update(status=Status.FALLBACK)
    _set_live(session)
    found = {"backtest": trial.as_json(), "forced_because": forced_because or None}
    severity = Severity.WARNING if forced_because else Severity.INFO
    message = f"Models {session} are live ({f'forced: {forced_because}; ' if forced_because else ''}{trial})"
    _record(session, "ml_models_activated", message, actor, severity=severity, **found)
    return session


def roll_back(*, actor: str) -> ModelSession:
    """The fallback becomes live again, and the live one is archived. Raises NoFallback or ModelRefused."""
    session = ModelSession.objects.filter(status=Status.FALLBACK).first()
    if session is None:
        raise NoFallback
    _refuse_broken(session)
    _asked(session, _try_out)
    return _restore(session.pk, actor)


@retried_transaction
def _restore(pk: int, actor: str) -> ModelSession:
    session = _lock(pk)
    if session is None or session.status != Status.FALLBACK:
        raise SessionsChanged
    live = ModelSession.objects.filter(status=Status.ACTIVE)
    live.update(status=Status.ARCHIVED, rolled_back_at=clock.now())
    before = ModelSession.objects.filter(status=Status.ARCHIVED, activated_at__isnull=False, rolled_back_at=None)
    older = before.order_by("-activated_at", "-pk").first()
    _set_live(session)
    if older is not None:
        ModelSession.objects.filter(pk=older.pk).update(status=Status.FALLBACK)
    _record(session, "ml_models_rollback", f"Back to models {session}", actor, severity=Severity.WARNING)
    return session


def _lock(pk: int) -> ModelSession | None:
    """With those whose states change: in the order of their keys, so that two calls wait instead of deadlocking."""
    concerned = Q(pk=pk) | Q(status__in=[Status.ACTIVE, Status.FALLBACK])
    locked = list(ModelSession.objects.select_for_update().filter(concerned).order_by("pk"))
    return next((session for session in locked if session.pk == pk), None)


def _set_live(session: ModelSession) -> None:
    session.status, session.activated_at, session.rolled_back_at = Status.ACTIVE, clock.now(), None
    session.failing_since, session.failed_at, session.failure = None, None, ""
    session.save(update_fields=["status", "activated_at", "rolled_back_at", "failing_since", "failed_at", "failure"])


def _refuse_broken(session: ModelSession) -> None:
    checks = Checks()
    for file in session.files.all():
        if not is_runnable(file.name):
            raise ModelRefused(f"{file.name} cannot be made live: models of this format are not run. {HOW_TO_CONVERT}")
        if not store.has(file.sha256, file.size):
            raise ModelRefused(f"{file.name} is no longer on the server's disk: upload it again")
        if is_onnx(file.name):
            checks.model(file.name, store.path_of(file.sha256), sha256=file.sha256)


def _tried(session: ModelSession) -> Trial:
    return _asked(session, trial_of)


def _try_out(session: ModelSession) -> None:
    with asked(session, seconds=SECONDS) as models:
        try_out(models)


def _asked(session: ModelSession, ask: Callable[[ModelSession], T]) -> T:
    """Raises ModelRefused where the models do not answer as docs/models.md says."""
    try:
        return ask(session)
    except CannotContain as failure:
        log.error("models cannot be run: %s", failure)
        raise ChecksUnavailable from failure
    except WorkerFailed as failure:
        raise ModelRefused(f"Models {session} cannot be used: {failure}") from failure


def _record(
    session: ModelSession, event_type: str, message: str, actor: str, severity: str = Severity.INFO, **found: Any
) -> None:
    log.info("%s: %s by %s", event_type, session.public_id, actor)
    files = list(session.files.values("name", "sha256"))
    metadata: dict[str, Any] = {"session_id": session.public_id, "files": files}
    emit(event_type=event_type, message=message, severity=severity, actor=actor, metadata=metadata | found)
