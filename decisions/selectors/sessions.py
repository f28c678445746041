"""Uploaded model sessions for the system page (dashboard-api 3.5)."""

from typing import Any

from decisions.models import ModelSession
from spotopt.common import clock

SHOWN = 10


def session_rows(*, include_archived: bool) -> list[dict[str, Any]]:
    """Newest first. The page would offer an archived one, such as one that was rolled back, as pending activation."""
    sessions = ModelSession.objects.prefetch_related("files").order_by("-created_at", "-id")
    if not include_archived:
        sessions = sessions.exclude(status=ModelSession.Status.ARCHIVED)
    return [_row(session) for session in sessions[:SHOWN]]


def _row(session: ModelSession) -> dict[str, Any]:
    files = list(session.files.all())
    return {
        "id": session.public_id,
        "session_id": session.public_id,
        "name": session.name,
        "version": session.version,
        "isLive": session.status == ModelSession.Status.ACTIVE,
        "isFallback": session.status == ModelSession.Status.FALLBACK,
        "fileCount": len(files),
        "files": [file.name for file in files],
        "status": session.status,
        "totalSize": sum(file.size for file in files),
        "createdAt": clock.isoformat(session.created_at),
        "activatedAt": clock.isoformat(session.activated_at),
        "backtest": session.backtest or None,
        "failingSince": clock.isoformat(session.failing_since),
        "failure": session.failure or None,
    }
