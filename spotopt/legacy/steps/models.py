import json

from decisions.models import ModelSession
from spotopt.common.wire import storable
from spotopt.legacy.rows import Row
from spotopt.legacy.tables import ByPublicId, time_or_now


class ModelSessions(ByPublicId[ModelSession]):
    """What is known of them, without their files: archived, and no choice for a fallback."""

    label = name = "model_upload_sessions"
    columns = (
        "id",
        "session_type",
        "status",
        "is_live",
        "is_fallback",
        "file_count",
        "file_names",
        "total_size_bytes",
        "uploaded_by",
        "notes",
        "created_at",
        "activated_at",
    )
    model = ModelSession
    compared = ("name", "version", "uploaded_by", "created_at", "activated_at")

    def convert(self, row: Row) -> ModelSession:
        public_id = self.id_of(row)
        activated_at = row.time("activated_at")
        session_type = row.text("session_type", 20) or "models"
        return ModelSession(
            public_id=public_id,
            status=ModelSession.Status.ARCHIVED,
            name=f"Old server's {session_type}",
            version=public_id[:8],
            metadata={
                "legacy": {
                    "session_type": session_type,
                    "status": row.text("status", 20),
                    "is_live": row.flag("is_live", False),
                    "is_fallback": row.flag("is_fallback", False),
                    "file_names": _names(row),
                    "total_size_bytes": int(row.values["total_size_bytes"]) if row.has("total_size_bytes") else None,
                    "notes": row.prose("notes"),
                }
            },
            uploaded_by=row.text("uploaded_by", 64),
            created_at=time_or_now(row, row.time("created_at", "activated_at"), self.now),
            activated_at=activated_at,
            rolled_back_at=self.now if activated_at else None,
        )


def _names(row: Row) -> list[str]:
    text = row.values.get("file_names")
    try:
        names = storable(json.loads(text)) if text else []
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list):
        row.note("file_names is no JSON array: left out")
        return []
    return [str(name)[:255] for name in names[:100]]
