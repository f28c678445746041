"""One handler writes the contract's error body for everything that goes wrong in a view."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelValidationError
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

from spotopt.common import metrics
from spotopt.common.errors import DATABASE_AWAY, RETRY_AFTER_SECONDS, Answered, DomainError, envelope

log = logging.getLogger(__name__)

# DRF's word → the contract's
CODES = {
    "not_authenticated": "UNAUTHORIZED",
    "authentication_failed": "UNAUTHORIZED",
    "permission_denied": "FORBIDDEN",
    "parse_error": "VALIDATION_ERROR",
    "throttled": "RATE_LIMITED",
}


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponseBase:
    if isinstance(exc, Answered):
        headers = {"Idempotent-Replayed": "true"}
        return HttpResponse(exc.body, status=exc.status_code, content_type="application/json", headers=headers)
    if isinstance(exc, RequestDataTooBig):
        exc = DomainError("The request body is too large", code="PAYLOAD_TOO_LARGE", status_code=413)
    elif isinstance(exc, SuspiciousOperation):
        exc = DomainError("The request was refused")
    if isinstance(exc, DomainError):
        set_rollback()
        return Response(envelope(exc.message, exc.code, exc.details, **exc.extra), status=exc.status_code)
    exc = _as_api_exception(exc)
    response = drf_exception_handler(exc, context)
    if response is None:
        return _unexpected(exc, type(context["view"]).__name__)
    if isinstance(exc, exceptions.ValidationError):
        response.data = envelope("Validation failed", "VALIDATION_ERROR", _field_messages(response.data))
    else:
        response.data = envelope(*_text_and_code(exc))
    return response


def _as_api_exception(exc: Exception) -> Exception:
    if isinstance(exc, Http404):
        return exceptions.NotFound()  # a bare one: the model's name in Django's text is nobody's business
    if isinstance(exc, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(exc, ModelValidationError):
        return exceptions.ValidationError(as_serializer_error(exc))
    return exc


def _unexpected(exc: Exception, where: str) -> Response:
    """A bug, or the database is away: log it whole, tell the caller nothing."""
    set_rollback()
    if isinstance(exc, DATABASE_AWAY):
        log.error("the database failed in %s", where, exc_info=exc)
        metrics.count_database_error(metrics.DatabaseTrouble.UNAVAILABLE)
        body = envelope("The database does not answer, try again", "UNAVAILABLE")
        return Response(body, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    log.error("unhandled error in %s", where, exc_info=exc)
    return Response(envelope("Internal server error", "INTERNAL"), status=500)


def _text_and_code(exc: Exception) -> tuple[str, str]:
    detail = getattr(exc, "detail", "")
    word = str(getattr(detail, "code", None) or getattr(exc, "default_code", "error"))
    text = detail if isinstance(detail, str) else getattr(exc, "default_detail", "Error")
    return str(text), CODES.get(word, word.upper())


def _field_messages(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {"non_field_errors": data}
