"""Rules say no with a DomainError; `handlers.exception_handler` turns it into the contract's error body."""

from typing import Any

from django.db import InterfaceError, OperationalError
from rest_framework import status

# Gone, restarting, out of connections, or a lock held too long: the same call may work in a moment. Agents take a
# 404 for "deleted" and uninstall themselves, so nothing else may ever be said instead (agent-api 3.4).
DATABASE_AWAY = (OperationalError, InterfaceError)
RETRY_AFTER_SECONDS = 5


class DomainError(Exception):
    """A rule of the product refuses. `message` is shown to the caller; `extra` adds top-level keys to the body."""

    code: str = "BAD_REQUEST"
    status_code: int = status.HTTP_400_BAD_REQUEST

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status_code: int | None = None,
        details: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.status_code = status_code or self.status_code
        self.details = details or {}
        self.extra = extra or {}


class Answered(Exception):
    """No error: this request has had its answer, a JSON text, which is given again."""

    def __init__(self, status_code: int, body: str) -> None:
        super().__init__(status_code)
        self.status_code = status_code
        self.body = body


class Invalid(DomainError):
    code = "VALIDATION_ERROR"


class NotFound(DomainError):
    code = "NOT_FOUND"
    status_code = status.HTTP_404_NOT_FOUND


class Conflict(DomainError):
    code = "CONFLICT"
    status_code = status.HTTP_409_CONFLICT


def envelope(message: str, code: str, details: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """The error body of every path (dashboard-api 1.6)."""
    body = {"status": "error", "error": message, "code": code, "data": None}
    return body | {"details": details or {}, "message": message} | extra
