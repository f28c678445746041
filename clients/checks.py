from typing import Any

from django.core import checks
from django.db import DatabaseError

from clients.models import Client
from spotopt.common import crypto


@checks.register(checks.Tags.database)
def token_keys_fit(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Wrong keys lock every agent out and look like wrong tokens. One token is tried: keys are changed for all."""
    if "default" not in (databases or []):
        return []
    try:
        client = Client.objects.exclude(token_encrypted="").order_by("-pk").first()
    except DatabaseError:  # before the first migration
        return []
    if client is None or _fits(client):
        return []
    hint = "Put the keys the tokens were stored with back, after the new ones, and run `manage.py rotate_keys`."
    return [
        checks.Warning("TOKEN_PEPPERS or TOKEN_ENCRYPTION_KEYS do not fit the tokens.", hint=hint, id="clients.W001")
    ]


def _fits(client: Client) -> bool:
    try:
        token = crypto.decrypt(client.token_encrypted)
    except crypto.InvalidToken:
        return False
    return client.token_hash in crypto.token_hashes(token)
