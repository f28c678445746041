"""Uploaded decision engines (dashboard-api 3.1): code, so off by default, and never run in a process of the server."""

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NoReturn

from django.conf import settings

from decisions.errors import CodeUploadDisabled, DomainError, EngineRefused, FileRefused
from decisions.services.checks import Checks
from decisions.uploads import Accepted, StagedFile
from notifications.models import Severity
from notifications.services import emit

SUFFIXES = (".py", ".pkl", ".joblib")


def refuse_unless_allowed() -> None:
    if not settings.ALLOW_ENGINE_UPLOADS:
        raise CodeUploadDisabled


def refuse_type(name: str) -> None:
    if PurePath(name).suffix.lower() not in SUFFIXES:
        raise FileRefused(f"{name}: files of this type are not allowed. Allowed: {', '.join(SUFFIXES)}")


def upload_engine(*, files: Sequence[StagedFile], actor: str) -> NoReturn:
    """Raises EngineRefused: for what is wrong with the files, and when nothing is, because nothing here can run them.

    The attempt is on record with the files' SHA-256, whatever the reason.
    """
    refusal = _refusal(files)
    emit(
        event_type="decision_engine_refused",
        message=refusal.message,
        severity=Severity.WARNING,
        actor=actor,
        metadata={"files": [{"name": file.name, "sha256": file.sha256} for file in files]},
    )
    raise refusal


def _refusal(files: Sequence[StagedFile]) -> DomainError:
    checks = Checks()
    try:
        for file in files:
            if PurePath(file.name).suffix.lower() == ".py":
                checks.engine(file.name, file.path)
    except EngineRefused as refusal:
        return refusal
    text = "This version has no isolated worker for uploaded engines, so none can be made live. Nothing was changed."
    return EngineRefused(text, code="ENGINE_WORKER_MISSING")


def _directory() -> Path:
    return Path(settings.DECISION_ENGINE_DIR)


ACCEPTED = Accepted(
    fields=frozenset({"files", "files[]", "file", "engine"}),
    most_files=20,
    directory=_directory,
    refuse_type=refuse_type,
)
