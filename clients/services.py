"""Client accounts and their tokens. A token is shown when it is made and by `reveal_token`; no log ever has it."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from clients import audit
from clients.errors import ClientNotFound, EmailTaken, NameTaken, TokenUnreadable
from clients.models import Client, ClientTombstone
from clients.ownership import rows_of
from spotopt.common import clock, crypto
from spotopt.common.db import delete_in_batches, retried_transaction
from spotopt.common.errors import Invalid

log = logging.getLogger(__name__)

MAX_TEXT = 255


def find_by_token(*, token: str) -> Client | None:
    """One statement; the raw token is never compared in the database, which may ignore case."""
    return Client.objects.holding(crypto.token_hashes(token)).first()


def get_client(*, public_id: str) -> Client:
    client = Client.objects.filter(public_id=public_id).first()
    if client is None:
        raise ClientNotFound
    return client


def create_client(*, name: str, email: str | None = None, actor: str = "") -> tuple[Client, str]:
    """Returns the client and its token. Raises Invalid, NameTaken or EmailTaken."""
    token = new_token()
    try:
        return _insert_client(name, email, token, actor), token
    except IntegrityError:  # somebody else was a moment faster
        check_identity(name=name, email=email)
        raise


@retried_transaction
def _insert_client(name: str, email: str | None, token: str, actor: str) -> Client:
    name, email = check_identity(name=name, email=email)
    client = Client.objects.create(name=name, name_key=fold(name), email=email, **sealed(token))
    _record(client, "client_created", f"Client {name} created", actor)
    audit.tell(client=client, notification_type="client_created", message=f"Welcome, {name}")
    return client


def check_identity(*, name: str, email: str | None, of: Client | None = None) -> tuple[str, str | None]:
    """Name and email as they are stored, or why they cannot be. `of` is the client that may have them already."""
    name, email = name.strip(), (email or "").strip() or None
    if not 1 <= len(name) <= MAX_TEXT:
        raise Invalid("Validation failed", details={"name": [f"Needs 1 to {MAX_TEXT} characters."]})
    others = Client.objects.exclude(pk=of.pk) if of else Client.objects.all()
    if others.filter(name_key=fold(name)).exists():
        raise NameTaken
    if email is None:
        return name, None
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid("Validation failed", details={"email": error.messages}) from None
    if others.filter(email__iexact=email).exists():
        raise EmailTaken
    return name, email


@retried_transaction
def regenerate_token(*, client: Client, actor: str = "") -> str:
    """The old token is dead as soon as this returns; for agents at rest, within a second (docs/hot-path.md)."""
    token = new_token()
    _forget_agents(client)
    if not Client.objects.filter(pk=client.pk).update(**sealed(token)):
        raise ClientNotFound
    _record(client, "token_regenerated", f"Token of {client.name} regenerated", actor, severity="warning")
    text = "The token was regenerated; agents with the old one are locked out"
    audit.tell(client=client, notification_type="token_regenerated", severity="warning", message=text)
    return token


def reveal_token(*, client: Client, actor: str = "") -> str:
    try:
        token = crypto.decrypt(client.token_encrypted)
    except crypto.InvalidToken:
        raise TokenUnreadable from None
    _record(client, "token_revealed", f"Token of {client.name} shown", actor, severity="warning")
    return token


def rename_client(*, client: Client, name: str, email: str | None, actor: str = "") -> None:
    """Raises like `create_client`; nothing happens when both are what they were."""
    try:
        _update_identity(client, name, email, actor)
    except IntegrityError:  # somebody else was a moment faster
        check_identity(name=name, email=email, of=client)
        raise


@retried_transaction
def _update_identity(client: Client, name: str, email: str | None, actor: str) -> None:
    name, email = check_identity(name=name, email=email, of=client)
    before = Client.objects.get(pk=client.pk)
    if (before.name, before.email) != (name, email):
        Client.objects.filter(pk=client.pk).update(name=name, name_key=fold(name), email=email)
        _record(before, "client_renamed", f"Client {before.name} is now called {name}", actor)


@retried_transaction
def set_active(*, client: Client, is_active: bool, actor: str = "") -> bool:
    """False when it was so already."""
    _forget_agents(client)
    changed = Client.objects.filter(pk=client.pk, is_active=not is_active).update(is_active=is_active)
    if changed:
        word = "activated" if is_active else "deactivated"
        _record(client, f"client_{word}", f"Client {client.name} {word}", actor, severity="warning")
    return bool(changed)


@transaction.atomic
def set_decision_mode(*, client: Client, mode: str, actor: str = "") -> bool:
    """For agents without a mode of their own. False when it was so already. Orders given before are not taken back."""
    before = Client.objects.filter(pk=client.pk).exclude(decision_mode=mode).values_list("decision_mode", flat=True)
    old = before.select_for_update().first()
    if old is None:
        return False
    Client.objects.filter(pk=client.pk).update(decision_mode=mode)
    client.decision_mode = mode
    _record(client, "decision_mode_changed", f"Decision mode of {client.name}: {old} → {mode}", actor)
    return True


def delete_client(*, client: Client, actor: str = "", on_batch: Callable[[int], None] | None = None) -> None:
    """Everything of the tenant goes; the audit event and a tombstone stay. May be repeated if it was cut short.

    The token dies first. Rows follow in small batches, so that other tenants never wait behind one long lock;
    `on_batch` is told how many each had.
    """
    dead = {"token_hash": secrets.token_hex(32), "token_encrypted": "", "is_active": False}
    Client.objects.filter(pk=client.pk).update(**dead)
    if _forget_agents(client) and settings.AGENT_MEMORY:
        time.sleep(1)  # until every process has seen it: rows that are gone tell nobody that they changed
    for attempt in range(3):
        try:
            for rows in rows_of(client):
                delete_in_batches(rows, pause=0.01, on_batch=on_batch)
            _bury(client, actor)
            return
        except IntegrityError:  # an agent's last call slipped in between
            if attempt == 2:
                raise
            time.sleep(0.2)


@dataclass
class Rotation:
    """How many tokens were rewritten or were up to date, and whose cannot be decrypted with any configured key."""

    rewritten: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate_keys(*, dry_run: bool = False, batch_size: int = 500) -> Rotation:
    """Rewrite hash and ciphertext with the newest pepper and key. Idempotent; agents notice nothing."""
    done = Rotation()
    for client in _all_clients(batch_size):
        try:
            token = crypto.decrypt(client.token_encrypted)
        except crypto.InvalidToken:
            done.unreadable.append(client.name)
            continue
        new = sealed(token)
        is_current = crypto.is_encrypted_with_newest(client.token_encrypted)
        if (is_current and new["token_hash"] == client.token_hash) or not (dry_run or _replace(client, new)):
            done.current += 1
        else:
            done.rewritten += 1
    return done


def rotate_webhook_secrets() -> int:
    """The same for the encrypted signing secrets of webhooks; how many were rewritten.

    `notifications` imports this app, so its model is asked for by name.
    """
    endpoints: Any = apps.get_model("notifications", "WebhookEndpoint")._default_manager
    done = 0
    for pk, secret in endpoints.values_list("pk", "secret_encrypted"):
        if crypto.is_encrypted_with_newest(secret):
            continue
        with suppress(crypto.InvalidToken):  # its calls fail, and say that it needs a new one
            renewed = crypto.encrypt(crypto.decrypt(secret))
            done += endpoints.filter(pk=pk, secret_encrypted=secret).update(secret_encrypted=renewed)
    return done


def new_token() -> str:
    return f"token-{secrets.token_hex(32)}"


def sealed(token: str) -> dict[str, str]:
    """What is stored of a token."""
    return {"token_hash": crypto.token_hashes(token)[0], "token_encrypted": crypto.encrypt(token)}


def fold(name: str) -> str:
    """Equal for names that differ in case only; case folding can lengthen a text (ß → ss)."""
    return name.casefold()[:MAX_TEXT]


@retried_transaction
def _bury(client: Client, actor: str) -> None:
    stone = {"name": client.name, "created_at": client.created_at, "deleted_at": clock.now()}
    ClientTombstone.objects.update_or_create(public_id=client.public_id, defaults=stone)
    if not Client.objects.filter(pk=client.pk).delete()[0]:
        return  # another call has done it
    metadata = {"client_id": client.public_id, "name": client.name}
    audit.record(
        event_type="client_deleted",
        severity="warning",
        message=f"Client {client.name} deleted",
        actor=actor,
        metadata=metadata,
    )


def _all_clients(batch_size: int) -> Iterator[Client]:
    last = 0
    while batch := list(Client.objects.filter(pk__gt=last).order_by("pk")[:batch_size]):
        yield from batch
        last = batch[-1].pk


def _replace(client: Client, new: dict[str, str]) -> int:
    """Compare-and-set: a token regenerated meanwhile is newer than what was read."""
    return Client.objects.filter(pk=client.pk, token_hash=client.token_hash).update(**new)


def _forget_agents(client: Client) -> int:
    """No process goes on answering them from memory. Their locks come before the client's own.

    `agents` imports this app, so its model is asked for by name.
    """
    agents: Any = apps.get_model("agents", "Agent")._default_manager
    return int(agents.filter(client=client.pk).update())


def _record(client: Client, event_type: str, message: str, actor: str, severity: str = "info") -> None:
    log.info("%s: %s by %s", event_type, client.public_id, actor or "the server")
    metadata = {"client_id": client.public_id, "name": client.name}
    audit.record(
        event_type=event_type, client=client, severity=severity, message=message, actor=actor, metadata=metadata
    )
