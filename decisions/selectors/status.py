"""What decides at present, as the dashboard's system page shows it (dashboard-api 2.2)."""

import logging
from typing import Any

from django.db import Error

from decisions import store
from decisions.engine import VERSION
from decisions.models import ModelSession, UploadedEngine
from decisions.services.deciding import BUILT_IN, live_engine
from spotopt.common import clock

log = logging.getLogger(__name__)

MOST_FILES = 10


def engine_status() -> dict[str, Any]:
    """`decisionEngineStatus` and `modelStatus`. Answers without a database too: then nothing counts as loaded."""
    return {"decisionEngineStatus": live_engine_status(), "modelStatus": _models(_live_session())}


def live_engine_status() -> dict[str, Any]:
    """The uploaded engine, if one is live and not failing; else the built-in one, which is always there."""
    engine = _live_engine()
    if engine is None or engine.failing_since is not None:
        return {
            "loaded": True,
            "type": BUILT_IN,
            "version": VERSION,
            "filesUploaded": int(engine is not None),
            "files": [],
        }
    modified = clock.isoformat(engine.created_at)
    files = [{"name": engine.name, "size": engine.size, "modified": modified}]
    return {"loaded": True, "type": engine.name, "version": engine.version, "filesUploaded": 1, "files": files}


def _live_engine() -> UploadedEngine | None:
    try:
        return live_engine()
    except Error as error:
        log.warning("the live engine is not known: %s", type(error).__name__)
        return None


def _live_session() -> ModelSession | None:
    try:
        return ModelSession.objects.filter(status=ModelSession.Status.ACTIVE).prefetch_related("files").first()
    except Error as error:
        log.warning("the live models are not known: %s", type(error).__name__)
        return None


def _models(session: ModelSession | None) -> dict[str, Any]:
    """Loaded: it answers, as far as is known, and its files are still there."""
    files = list(session.files.all()) if session else []
    if session is None or session.failing_since or not all(store.has(file.sha256, file.size) for file in files):
        unknown: dict[str, Any] = {"name": None, "version": None, "files": []}
        return {"loaded": False, "filesUploaded": len(files), "activeModels": []} | unknown
    name = {"name": session.name, "version": session.version}
    modified = clock.isoformat(session.created_at)
    listed = [{"name": file.name, "size": file.size, "modified": modified} for file in files[:MOST_FILES]]
    loaded = {"loaded": True, "filesUploaded": len(files), "activeModels": [name | {"active": True}]}
    return loaded | name | {"files": listed}
