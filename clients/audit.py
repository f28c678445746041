"""Facts about clients in the event log and the inbox.

`notifications` imports this app, so its models are asked for by name instead of calling its services.
"""

from typing import Any

from django.apps import apps

from clients.models import Client


def record(
    *,
    event_type: str,
    message: str,
    client: Client | None = None,
    severity: str = "info",
    actor: str = "",
    metadata: dict[str, Any] | None = None,
) -> None:
    apps.get_model("notifications", "SystemEvent")._default_manager.create(
        event_type=event_type,
        message=message,
        client=client,
        severity=severity,
        actor=actor[:64],
        metadata=metadata or {},
    )


def tell(*, client: Client, notification_type: str, message: str, severity: str = "info") -> None:
    inbox: Any = apps.get_model("notifications", "Notification")._default_manager
    inbox.post(client=client, notification_type=notification_type, message=message, severity=severity)
