"""Rules say no with a DomainError; one handler writes the contract's error body for everything."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

log = logging.getLogger(__name__)

# DRF's word → the contract's
CODES = {
    "not_authenticated": "UNAUTHORIZED",
    "permission_denied": "FORBIDDEN",
    "error": "ERROR",
    "parse_error": "VALIDATION_ERROR",
}


class DomainError(Exception):
    """A rule of the product refuses. `message` is shown to the caller; `extra` adds top-level keys to the body."""

    code = "BAD_REQUEST"
    status_code = status.HTTP_400_BAD_REQUEST

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


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    if isinstance(exc, DomainError):
        set_rollback()
        return Response(envelope(exc.message, exc.code, exc.details, **exc.extra), status=exc.status_code)
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    response = drf_exception_handler(exc, context)
    if response is None:  # a bug, or the database is away: log it whole, tell the caller nothing
        log.error("unhandled error in %s", type(context["view"]).__name__, exc_info=exc)
        set_rollback()
        return Response(envelope("Internal server error", "INTERNAL"), status=500)
    if isinstance(exc, exceptions.ValidationError):
        response.data = envelope("Validation failed", "VALIDATION_ERROR", _field_messages(response.data))
    else:
        detail = response.data["detail"]
        code = getattr(detail, "code", "error")
        response.data = envelope(str(detail), CODES.get(code, code.upper()))
    return response


def _field_messages(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {"non_field_errors": data}


