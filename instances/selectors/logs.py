"""What happened to an instance: its events and its moves in one list (dashboard-api 2.6)."""

from datetime import datetime
from typing import Any

from instances.models import Instance, InstanceAlias, Switch
from notifications.models import Severity, SystemEvent
from spotopt.common import clock

Entry = tuple[datetime, dict[str, Any]]


def log_of(instance: Instance, *, limit: int) -> list[dict[str, Any]]:
    """Newest first. Events of the temporary id it was launched under are its own."""
    aliases = InstanceAlias.objects.filter(instance=instance).values_list("alias", flat=True)
    entries = _moves(instance, limit)
    for known_as in (instance.instance_id, *aliases):
        entries += _events(instance, known_as, limit)
    entries.sort(key=lambda entry: entry[0], reverse=True)
    return [row for _, row in entries[:limit]]


def _events(instance: Instance, known_as: str, limit: int) -> list[Entry]:
    """A statement per id, so that each reads the newest of one index and nothing else."""
    events = SystemEvent.objects.filter(instance_id=known_as, client=instance.client_id).order_by("-id")
    return [
        (event.created_at, _row(event.created_at, event.event_type, event.message, event.severity, event.metadata))
        for event in events[:limit]
    ]


def _moves(instance: Instance, limit: int) -> list[Entry]:
    """Both ends of moves, a statement each for the same reason."""
    moves = Switch.objects.filter(client=instance.client_id).order_by("-created_at", "-id")
    away = moves.filter(old_instance_id=instance.instance_id)[:limit]
    here = moves.filter(new_instance_id=instance.instance_id)[:limit]
    return [_move(move, "switch_initiated") for move in away] + [_move(move, "switch_target") for move in here]


def _move(move: Switch, event_type: str) -> Entry:
    at = move.instance_launched_at or move.ami_created_at or move.initiated_at or move.created_at
    message = f"Move from {_end(move.old_instance_id, move.old_pool_id, move.old_mode)}"
    message += f" to {_end(move.new_instance_id, move.new_pool_id, move.new_mode)}"
    if not move.success:
        message += " failed"
    metadata = {
        "from_pool": move.old_pool_id or None,
        "to_pool": move.new_pool_id or None,
        "trigger": move.trigger,
        "downtime_seconds": move.downtime_seconds,
        "savings_impact": None if move.savings_impact is None else float(move.savings_impact),
    }
    severity = Severity.INFO if move.success else Severity.ERROR
    return at, _row(at, event_type, message, severity, metadata)


def _end(instance_id: str, pool_id: str, mode: str) -> str:
    return f"{instance_id or 'an unknown instance'} ({pool_id or mode})"


def _row(at: datetime, event_type: str, message: str, severity: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "timestamp": clock.isoformat(at),
        "event_type": event_type,
        "message": message,
        "severity": Severity.ERROR.value if severity == Severity.CRITICAL else str(severity),
        "metadata": metadata if isinstance(metadata, dict) else {},
    }
