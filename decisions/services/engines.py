"""Uploaded decision engines (dashboard-api 3.1): code, so off by default, and run in a worker's process only."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePath

from django.conf import settings

from decisions import store
from decisions.errors import (
    ChecksUnavailable,
    CodeUploadDisabled,
    DomainError,
    EngineNotFound,
    EngineRefused,
    FileRefused,
)
from decisions.models import UploadedEngine
from decisions.services.checks import Checks
from decisions.services.deciding import ask_engine
from decisions.services.samples import sample_decisions
from decisions.services.workers import CannotContain, Runnable, WorkerFailed
from decisions.uploads import Accepted, StagedFile
from notifications.models import Severity
from notifications.services import emit
from spotopt.common import clock
from spotopt.common.db import retried_transaction

log = logging.getLogger(__name__)

SUFFIXES = (".py", ".pkl", ".joblib")
Status = UploadedEngine.Status
NO_PICKLE = "a pickle does not hold the code of its class; upload the .py file that declares it"
ONE_FILE = "An engine is one Python file"
UNCONTAINED = "This server cannot contain uploaded code, so it runs none; its log says why. Nothing was changed."


def refuse_unless_allowed() -> None:
    if not settings.ALLOW_ENGINE_UPLOADS:
        raise CodeUploadDisabled


def refuse_type(name: str) -> None:
    if PurePath(name).suffix.lower() not in SUFFIXES:
        raise FileRefused(f"{name}: files of this type are not allowed. Allowed: {', '.join(SUFFIXES)}")


def upload_engine(*, files: Sequence[StagedFile], actor: str) -> UploadedEngine:
    """It is live when this returns. Raises EngineRefused, and then the live one still is.

    A refusal is on record with the files' SHA-256.
    """
    try:
        file = _only(files)
        _try_out(file.name, Runnable(file.name, file.path, file.sha256))
    except DomainError as refusal:
        emit(
            event_type="decision_engine_refused",
            message=refusal.message,
            severity=Severity.WARNING,
            actor=actor,
            metadata={"files": [{"name": file.name, "sha256": file.sha256} for file in files]},
        )
        raise
    engine = UploadedEngine(name=file.name, sha256=file.sha256, size=file.size, uploaded_by=actor)
    with store.unswept(), store.room_needed():
        store.keep(file.path, store.engine_path_of(file.sha256))
        return _make_live(partial(_inserted, engine), actor)


def activate_engine(*, engine_id: str, actor: str) -> UploadedEngine:
    """An archived one again. Raises EngineNotFound or EngineRefused."""
    refuse_unless_allowed()
    found = UploadedEngine.objects.filter(public_id=engine_id).first()
    if found is None:
        raise EngineNotFound
    _try_out(found.name, Runnable(found.name, store.engine_path_of(found.sha256), found.sha256))
    return _make_live(partial(_locked, found.pk), actor)


@retried_transaction
def use_built_in(*, actor: str) -> bool:
    """False when the built-in engine decides already."""
    archived = UploadedEngine.objects.filter(status=Status.ACTIVE).update(status=Status.ARCHIVED)
    if archived:
        emit(
            event_type="decision_engine_rollback",
            message="Back to the built-in decision engine",
            severity=Severity.WARNING,
            actor=actor,
        )
    return bool(archived)


def _only(files: Sequence[StagedFile]) -> StagedFile:
    checks = Checks()
    for file in files:
        if PurePath(file.name).suffix.lower() != ".py":
            raise EngineRefused(f"{file.name} cannot be used: {NO_PICKLE}")
        checks.engine(file.name, file.path)
    if len(files) != 1:
        raise EngineRefused(f"{ONE_FILE}; {len(files)} were sent")
    return files[0]


def _try_out(name: str, file: Runnable) -> None:
    """It must answer for situations of every sort, within the limits, before it may decide anything."""
    situations, built_in = sample_decisions(now=clock.now())
    try:
        ask_engine(file, situations, built_in)
    except CannotContain as failure:
        log.error("uploaded engines cannot be run: %s", failure)
        raise EngineRefused(UNCONTAINED, code="ENGINE_WORKER_MISSING") from failure
    except WorkerFailed as failure:
        raise EngineRefused(f"{name} cannot be used: {failure}") from failure
    except OSError as error:
        log.exception("no worker can be started")
        raise ChecksUnavailable from error


@retried_transaction
def _make_live(found: Callable[[], UploadedEngine], actor: str) -> UploadedEngine:
    """Of the others the one that was live last is kept."""
    others = list(UploadedEngine.objects.select_for_update().order_by("pk"))
    UploadedEngine.objects.filter(status=Status.ACTIVE).update(status=Status.ARCHIVED)
    engine = found()
    former = [one for one in others if one.pk != engine.pk]
    kept = max(former, key=lambda one: (one.status == Status.ACTIVE, one.activated_at), default=engine)
    UploadedEngine.objects.exclude(pk__in=[engine.pk, kept.pk]).delete()
    emit(
        event_type="decision_engine_activated",
        message=f"Decision engine {engine} is live",
        severity=Severity.WARNING,
        actor=actor,
        metadata={"id": engine.public_id, "files": [{"name": engine.name, "sha256": engine.sha256}]},
    )
    return engine


def _inserted(engine: UploadedEngine) -> UploadedEngine:
    engine.pk, engine.status, engine.created_at = None, Status.ACTIVE, clock.now()
    engine.activated_at = engine.created_at
    engine.save(force_insert=True)
    return engine


def _locked(pk: int) -> UploadedEngine:
    engine = UploadedEngine.objects.filter(pk=pk).first()
    if engine is None:
        raise EngineNotFound
    engine.status, engine.activated_at = Status.ACTIVE, clock.now()
    engine.failing_since, engine.failed_at, engine.failure = None, None, ""
    engine.save(update_fields=["status", "activated_at", "failing_since", "failed_at", "failure"])
    return engine


ACCEPTED = Accepted(
    fields=frozenset({"files", "files[]", "file", "engine"}),
    most_files=20,
    directory=store.engines,
    refuse_type=refuse_type,
)
