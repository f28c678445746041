import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from spotopt.common import logs
from spotopt.common.errors import envelope

log = logging.getLogger("spotopt.request")
GetResponse = Callable[[HttpRequest], HttpResponse]

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLogMiddleware:
    """One log line per request, and an id that links it to everything logged on the way."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        # v4-b keeps one X-Request-ID for all later calls (agent-api 1.9), so ours is always a fresh one.
        logs.start_request(identifier=uuid.uuid4().hex[:16])
        started = time.monotonic()
        response = self.get_response(request)
        extra = {
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "ms": round((time.monotonic() - started) * 1000, 1),
        }
        if _SAFE_ID.fullmatch(given):
            extra["caller_request_id"] = given
        level = logging.INFO if response.status_code < 500 else logging.ERROR
        log.log(level, "%s %s", request.method, request.path, extra=extra)
        return response


class JsonErrorMiddleware:
    """No HTML on an API path: what Django itself refuses (bad host, oversized body) gets the contract's body too."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE and is_api(request):
            return error_response("The request body is too large", "PAYLOAD_TOO_LARGE", 413)
        response = self.get_response(request)
        if response.status_code >= 400 and is_api(request) and not _is_json(response):
            return error_response(response.reason_phrase, f"HTTP_{response.status_code}", response.status_code)
        if is_api(request):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/") or request.path in ("/", "/health")


def error_response(message: str, code: str, status: int) -> JsonResponse:
    return JsonResponse(envelope(message, code), status=status)


def _is_json(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")
