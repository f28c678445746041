from notifications.models.alerts import AlertCrossing, PricingAlert
from notifications.models.delivery import Delivery, EmailRecipient, WebhookEndpoint
from notifications.models.inbox import Notification, Severity, SystemEvent
from notifications.models.streams import StreamProcess, StreamTicket

__all__ = [
    "AlertCrossing",
    "Delivery",
    "EmailRecipient",
    "Notification",
    "PricingAlert",
    "Severity",
    "StreamProcess",
    "StreamTicket",
    "SystemEvent",
    "WebhookEndpoint",
]
