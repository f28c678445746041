"""What decides at present, as the dashboard's system page shows it (dashboard-api 2.2)."""

import logging
from typing import Any

from django.db import Error

from decisions import store
from decisions.engine import VERSION
from decisions.models import ModelSession
from decisions.services.records import ENGINE
from spotopt.common import clock

log = logging.getLogger(__name__)

MOST_FILES = 10


def engine_status() -> dict[str, Any]:
    """`decisionEngineStatus` and `modelStatus`. Answers without a database too: then nothing counts as loaded."""
    return {"decisionEngineStatus": _built_in(), "modelStatus": _models(_live_session())}


def _built_in() -> dict[str, Any]:
    """Part of the server, so it is always there. Uploaded engines run nowhere in this version."""
    return {"loaded": True, "type": ENGINE, "version": VERSION, "filesUploaded": 0, "files": []}


def _live_session() -> ModelSession | None:
    try:
        return ModelSession.objects.filter(status=ModelSession.Status.ACTIVE).prefetch_related("files").first()
    except Error as error:
        log.warning("the live models are not known: %s", type(error).__name__)
        return None


def _models(session: ModelSession | None) -> dict[str, Any]:
    """Loaded: it was when it went live, and its files are still there."""
    files = list(session.files.all()) if session else []
    if session is None or not all(store.has(file.sha256, file.size) for file in files):
        unknown: dict[str, Any] = {"name": None, "version": None, "files": []}
        return {"loaded": False, "filesUploaded": len(files), "activeModels": []} | unknown
    name = {"name": session.name, "version": session.version}
    modified = clock.isoformat(session.created_at)
    listed = [{"name": file.name, "size": file.size, "modified": modified} for file in files[:MOST_FILES]]
    loaded = {"loaded": True, "filesUploaded": len(files), "activeModels": [name | {"active": True}]}
    return loaded | name | {"files": listed}
