"""A notification as a webhook call or an e-mail. Nothing here touches the database (docs/notifications.md)."""

import hashlib
import hmac
import json
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

from notifications.models import EmailRecipient, Notification, WebhookEndpoint
from notifications.services import outbound
from notifications.services.outbound import SendingFailed
from notifications.wire import notification_item
from spotopt.common import clock, crypto

SIGNATURE_HEADER = "X-Spotopt-Signature"
DELIVERY_HEADER = "X-Spotopt-Delivery"


def send(*, target: WebhookEndpoint | EmailRecipient, notification: Notification, delivery_id: str) -> None:
    """Raises SendingFailed, whose text is for the operator."""
    if isinstance(target, WebhookEndpoint):
        _call(target, notification, delivery_id)
    else:
        _mail(target, notification)


def signature(*, secret: str, body: bytes, at: int) -> str:
    """`t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`; the time keeps old calls from being sent again."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


def _call(endpoint: WebhookEndpoint, notification: Notification, delivery_id: str) -> None:
    try:
        secret = crypto.decrypt(endpoint.secret_encrypted)
    except crypto.InvalidToken:
        raise SendingFailed("The signing secret cannot be decrypted; make a new one") from None
    at = clock.now()
    content = {"id": delivery_id, "sent_at": clock.isoformat(at), "notification": notification_item(notification)}
    body = json.dumps(content, allow_nan=False).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"spotopt/{settings.VERSION}",
        DELIVERY_HEADER: delivery_id,
        SIGNATURE_HEADER: signature(secret=secret, body=body, at=int(at.timestamp())),
    }
    outbound.post(url=endpoint.url, body=body, headers=headers)


def _mail(recipient: EmailRecipient, notification: Notification) -> None:
    if not settings.EMAIL_HOST:
        raise SendingFailed("EMAIL_HOST is not set")
    whose = f"Client: {notification.client.name}\n" if notification.client else ""
    text = f"{notification.message}\n\n{whose}Severity: {notification.severity}\n"
    text += f"Type: {notification.notification_type}\nTime: {clock.isoformat(notification.created_at)}\n"
    subject = " ".join(f"[spot] {notification.severity}: {notification.message}".split())[:150]
    try:
        EmailMessage(subject, text, to=[recipient.address]).send()
    except SMTPException as error:
        raise SendingFailed(f"The mail server refused it ({type(error).__name__})") from None
    except (OSError, ValueError) as error:
        raise SendingFailed(f"The mail server cannot be reached ({type(error).__name__})") from None
