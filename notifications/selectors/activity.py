"""The operator's activity log (dashboard-api 2.2)."""

from typing import Any

from notifications.models import SystemEvent
from notifications.wire import shown_severity
from spotopt.common import clock

_MOVES = ("switch", "promot", "failover")


def latest_activity(*, limit: int) -> list[dict[str, Any]]:
    """Newest first, of all severities; read backwards along the primary key."""
    rows = SystemEvent.objects.exclude(event_type__in=SystemEvent.STREAM_ONLY).order_by("-id")
    columns = ("id", "event_type", "message", "created_at", "severity", "client__public_id", "agent_id", "instance_id")
    return [
        {
            "id": str(pk),
            "type": kind_of(event_type),
            "text": message,
            "time": clock.isoformat(at),
            "severity": shown_severity(severity),
            "eventType": event_type,
            "clientId": client_id,
            "agentId": agent_id or None,
            "instanceId": instance_id or None,
        }
        for pk, event_type, message, at, severity, client_id, agent_id, instance_id in rows.values_list(*columns)[
            :limit
        ]
    ]


def kind_of(event_type: str) -> str:
    """Which of the dashboard's three icons."""
    if any(word in event_type for word in _MOVES):
        return "switch"
    return "agent" if event_type.startswith("agent") else "event"
