from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.models import Client, ClientTombstone
from clients.services import find_by_token, fold, new_token, sealed
from spotopt.legacy.rows import Row, Skip
from spotopt.legacy.tables import ByPublicId, time_or_now

INACTIVE = {"inactive", "suspended", "disabled", "deleted", "cancelled", "canceled"}


def is_active(row: Row) -> bool:
    return row.flag("is_active", True) and row.text("status").lower() not in INACTIVE


class Clients(ByPublicId[Client]):
    """Tokens keep working. What only one client may have goes to the active one, then to the older one."""

    label = name = "clients"
    columns = (
        "id",
        "name",
        "email",
        "client_token",
        "status",
        "is_active",
        "default_auto_terminate",
        "default_terminate_wait_seconds",
        "default_auto_switch_enabled",
        "created_at",
        "updated_at",
        "last_sync_at",
    )
    model = Client
    compared = (
        "name",
        "email",
        "is_active",
        "default_auto_switch_enabled",
        "default_auto_terminate_enabled",
        "default_terminate_wait_seconds",
    )

    def prepare(self) -> None:
        self._deleted = set(ClientTombstone.objects.values_list("public_id", flat=True))
        self._ids: set[str] = set()
        self._taken: dict[str, set[str]] = {"name": set(), "email": set(), "token": set()}
        self._tokens: dict[str, str] = {}  # by client; gone with the process

    def parts(self) -> Iterable[Iterable[dict[str, Any]]]:
        rows = sorted(self.source.rows(self.name, self.columns, order=self.order), key=_precedence)
        others = Client.objects.exclude(public_id__in=[str(row["id"]) for row in rows])
        for name_key, email in others.values_list("name_key", "email"):
            self._taken["name"].add(name_key)
            self._taken["email"].add((email or "").lower())
        return [rows]

    def convert(self, row: Row) -> Client:
        public_id = self.id_of(row)
        if public_id in self._deleted:
            raise Skip("it was deleted here")
        if public_id in self._ids:
            raise Skip("the same one was there before")
        self._ids.add(public_id)
        name = self._name(row, public_id)
        return Client(
            public_id=public_id,
            name=name,
            name_key=fold(name),
            email=self._email(row),
            is_active=is_active(row),
            **sealed(self._token(row, public_id)),
            default_auto_switch_enabled=row.flag("default_auto_switch_enabled", True),
            default_auto_terminate_enabled=row.flag("default_auto_terminate", True),
            default_terminate_wait_seconds=wait_seconds(row, "default_terminate_wait_seconds"),
            created_at=time_or_now(row, row.time("created_at", "updated_at", "last_sync_at"), self.now),
        )

    def different(self, item: Client, found: Client) -> Iterator[str]:
        yield from super().different(item, found)
        token = self._tokens.get(item.public_id)
        if token is not None and find_by_token(token=token) != found:
            yield "token"

    def _name(self, row: Row, public_id: str) -> str:
        name = row.text("name")
        if not name:
            row.note("no name: named by its id")
            name = f"Client {public_id[:8]}"
        if fold(name) in self._taken["name"]:
            row.note("another client has this name: the id was added to it")
            name = f"{name[:180]} ({public_id})"
        self._taken["name"].add(fold(name))
        return name

    def _email(self, row: Row) -> str | None:
        email = row.text("email")
        if not email:
            return None
        try:
            validate_email(email)
        except ValidationError:
            row.note("email is no address: left out")
            return None
        if email.lower() in self._taken["email"]:
            row.note("another client has this email: left out")
            return None
        self._taken["email"].add(email.lower())
        return email

    def _token(self, row: Row, public_id: str) -> str:
        token = row.text("client_token", 10_000)
        holder = find_by_token(token=token) if token else None
        is_taken = token in self._taken["token"] or (holder is not None and holder.public_id != public_id)
        if token and not is_taken:
            self._taken["token"].add(token)
            self._tokens[public_id] = token
            return token
        row.note("another client has this token: a new one was made" if token else "no token: a new one was made")
        return new_token()


def wait_seconds(row: Row, column: str) -> int:
    seconds = row.whole(column, maximum=7 * 24 * 3600)
    return 300 if seconds is None else seconds


def _precedence(values: dict[str, Any]) -> tuple[bool, bool, Any, str]:
    row = Row(values)
    created_at = row.time("created_at")
    return not is_active(row), created_at is None, created_at, str(values["id"])
