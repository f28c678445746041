"""The event log and the inbox: facts for everyone who asks later, and messages for the client."""

from typing import Any

from clients.models import Client
from notifications.models import Notification, Severity, SystemEvent


def emit(
    *,
    event_type: str,
    message: str,
    client: Client | None = None,
    severity: str = Severity.INFO,
    agent_id: str = "",
    instance_id: str = "",
    actor: str = "",
    metadata: dict[str, Any] | None = None,
) -> SystemEvent:
    """Append a fact, in the caller's transaction: it is there exactly when the change it tells of is."""
    return SystemEvent.objects.create(
        event_type=event_type,
        message=message,
        client=client,
        severity=severity,
        agent_id=agent_id,
        instance_id=instance_id,
        actor=actor[:64],
        metadata=metadata or {},
    )


def notify(
    *,
    client: Client | None,
    message: str,
    notification_type: str,
    severity: str = Severity.INFO,
    agent_id: str = "",
    metadata: dict[str, Any] | None = None,
) -> Notification:
    """Put a message into a client's inbox; without a client it is for everyone."""
    return Notification.objects.post(
        client=client,
        message=message,
        notification_type=notification_type,
        severity=severity,
        agent_id=agent_id,
        metadata=metadata or {},
    )
