"""Setting up who is told outside of the dashboard."""

import secrets

from django.db import transaction

from notifications.models import WebhookEndpoint
from notifications.services import emit
from spotopt.common import crypto


@transaction.atomic
def create_endpoint(*, endpoint: WebhookEndpoint, actor: str) -> str:
    """Store it and return its signing secret, which is shown this once."""
    secret = _new_secret()
    endpoint.secret_encrypted = crypto.encrypt(secret)
    endpoint.save(force_insert=True)
    _record("webhook_created", endpoint, f"Webhook {endpoint} was set up", actor)
    return secret


@transaction.atomic
def replace_secret(*, endpoint: WebhookEndpoint, actor: str) -> str:
    """Calls are signed with the new one from now on."""
    secret = _new_secret()
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(secret_encrypted=crypto.encrypt(secret))
    _record("webhook_secret_replaced", endpoint, f"Webhook {endpoint} has a new secret", actor)
    return secret


def _new_secret() -> str:
    return f"whsec_{secrets.token_hex(32)}"


def _record(event_type: str, endpoint: WebhookEndpoint, message: str, actor: str) -> None:
    metadata = {"webhook_id": endpoint.public_id}
    emit(event_type=event_type, client=endpoint.client, message=message, actor=actor, metadata=metadata)
