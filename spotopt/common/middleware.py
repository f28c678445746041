import logging
import re
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from spotopt.common import logs, metrics
from spotopt.common.errors import RETRY_AFTER_SECONDS, envelope

log = logging.getLogger("spotopt.request")
GetResponse = Callable[[HttpRequest], HttpResponseBase]

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CODES = {
    400: "BAD_REQUEST",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    500: "INTERNAL",
}
# They look who is calling before they read, and have a limit of their own (decisions.uploads).
_UPLOADS = ("/api/admin/ml-models/upload", "/api/admin/decision-engine/upload")


class RequestLogMiddleware:
    """One log line per request, and an id that links it to everything logged on the way; counted for /metrics."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        # v4-b keeps one X-Request-ID for all later calls (agent-api 1.9), so ours is always a fresh one.
        logs.start_request()
        started = time.monotonic()
        response = self.get_response(request)
        seconds = time.monotonic() - started
        method, status = request.method or "", response.status_code
        metrics.count_request(method=method, route=metrics.route_of(request), status=status, seconds=seconds)
        level = logging.ERROR if status >= 500 else logging.INFO
        log_request(level, method=method, path=request.path, status=status, seconds=seconds, given=given)
        return response


def log_request(level: int, *, method: str, path: str, status: int, seconds: float, given: str) -> None:
    """`path` without the query, where people put tokens; `given` is the caller's own id for it."""
    extra = {"method": method, "path": path, "status": status, "ms": round(seconds * 1000, 1)}
    if _SAFE_ID.fullmatch(given):
        extra["caller_request_id"] = given
    log.log(level, "%s %s", method, path, extra=extra)


class JsonErrorMiddleware:
    """No HTML on an API path: what Django itself refuses (bad host, oversized body) gets the contract's body too."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api(request):
            return self.get_response(request)
        if _is_too_large(request):
            response: HttpResponseBase = error_response("The request body is too large", "PAYLOAD_TOO_LARGE", 413)
        else:
            response = self.get_response(request)
        if response.status_code >= 400 and not _is_json(response):
            _speak_json(response)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/") or request.path in ("/", "/health", "/api")


def error_response(message: str, code: str, status: int) -> JsonResponse:
    return JsonResponse(envelope(message, code), status=status)


def unavailable(message: str, code: str = "UNAVAILABLE") -> JsonResponse:
    response = error_response(message, code, 503)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _speak_json(response: HttpResponseBase) -> None:
    """Exchanges the body only: Allow, Retry-After and CORS headers stay."""
    status = response.status_code
    body = error_response(response.reason_phrase, _CODES.get(status, f"HTTP_{status}"), status)
    if isinstance(response, HttpResponse):
        response.content = body.content
        response.headers["Content-Type"] = body.headers["Content-Type"]


def _is_too_large(request: HttpRequest) -> bool:
    """DRF reads past Django's own limit."""
    return request.path not in _UPLOADS and _content_length(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _content_length(request: HttpRequest) -> int:
    given: str = request.META.get("CONTENT_LENGTH") or "0"
    return int(given) if given.isdecimal() else 0


def _is_json(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")
