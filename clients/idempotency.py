"""X-Request-ID: a repeated POST, PUT or DELETE is carried out once (dashboard-api 1.11).

The gate stands where DRF asks its throttles: after authentication and permissions, for every view, by one setting.
The agent plane has no throttles and so no gate: v4-b keeps one X-Request-ID for all its calls, which says nothing
about repetition, and repeated reports are told by what they say (agent-api 1.9).
On the way out the middleware keeps the answer, encrypted because it may hold a token.
"""

import hashlib
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.throttling import BaseThrottle

from clients.models import IdempotencyKey
from clients.principals import ApiRequest
from spotopt.common import clock, crypto
from spotopt.common.db import retried
from spotopt.common.errors import DATABASE_AWAY, Answered, Conflict, Invalid

log = logging.getLogger(__name__)

KEPT = timedelta(hours=24)
ABANDONED_AFTER = timedelta(minutes=5)  # no request runs longer: its process died
METHODS = frozenset({"POST", "PUT", "DELETE"})
_KEY = re.compile(r"[!-~]{1,128}")
_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)")


class DuplicateRequest(Conflict):
    code = "DUPLICATE_REQUEST"

    def __init__(self, message: str = "A request with this X-Request-ID is still running") -> None:
        super().__init__(message)


class OtherRequest(Conflict):
    code = "IDEMPOTENCY_MISMATCH"

    def __init__(self) -> None:
        super().__init__("This X-Request-ID was used for another request")


class RequestIdGate(BaseThrottle):
    """Raises Answered with the stored answer, or a Conflict; otherwise the request is the one that is carried out."""

    honours_request_id = True  # read by spotopt.common.schema

    def allow_request(self, request: Any, view: Any) -> bool:
        if not getattr(view, "streams_body", False):
            begin(request, lambda: _fingerprint(request))
        return True


class IdempotencyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        claimed: IdempotencyKey | None = getattr(request, "idempotency_claim", None)
        if claimed is not None:
            try:
                settle(claimed, response)
            except DATABASE_AWAY:  # the caller gets the answer anyway; the claim is given up by its age
                log.exception("the answer to a request with an X-Request-ID was not kept")
        return response


def begin(request: Any, body_hash: Callable[[], str]) -> None:
    """The gate itself. A view whose body must not be held in memory says `streams_body = True` and calls this."""
    key = request.headers.get("X-Request-ID")
    if key is None or request.method not in METHODS:
        return
    if not _KEY.fullmatch(key):
        allowed = "Use 1 to 128 printable ASCII characters."
        raise Invalid("Validation failed", details={"X-Request-ID": [allowed]})
    request._request.idempotency_claim = claim(
        principal=request.user.key,
        method=request.method,
        path=request.path,
        key=key,
        body_hash=body_hash(),
    )


@retried
def claim(*, principal: str, method: str, path: str, key: str, body_hash: str) -> IdempotencyKey:
    """The right to carry the request out.

    Raises Answered where it has been, DuplicateRequest while it is, OtherRequest when it is not the same request.
    One whose process died may be carried out again after ABANDONED_AFTER: nobody knows how far it had come.
    """
    now = clock.now()
    held, is_new = IdempotencyKey.objects.get_or_create(
        principal=principal,
        method=method,
        path_hash=hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest(),
        key=key,
        defaults={"body_hash": body_hash, "created_at": now, "claimed_at": now},
    )
    if is_new:
        return held
    is_outdated = held.created_at <= now - KEPT
    if held.body_hash != body_hash and not is_outdated:
        raise OtherRequest
    is_abandoned = held.status_code is None and held.claimed_at <= now - ABANDONED_AFTER
    if is_outdated or is_abandoned:
        return _take_over(held, body_hash)
    if held.status_code is None:
        raise DuplicateRequest
    raise Answered(held.status_code, _answer_of(held))


def settle(claimed: IdempotencyKey, response: HttpResponseBase) -> None:
    """Keeps the answer, but for those that say "try again": 409, 429 and 5xx."""
    own = IdempotencyKey.objects.filter(pk=claimed.pk, claimed_at=claimed.claimed_at)  # nobody took over meanwhile
    status = response.status_code
    if status in (409, 429) or status >= 500 or response.streaming:
        own.delete()
    else:
        content = response.content.decode()  # type: ignore[attr-defined]
        own.update(status_code=status, answer_encrypted=crypto.encrypt(content))


def _take_over(held: IdempotencyKey, body_hash: str) -> IdempotencyKey:
    now = clock.now()
    fields = {"claimed_at": now, "created_at": now, "body_hash": body_hash, "status_code": None}
    if not IdempotencyKey.objects.filter(pk=held.pk, claimed_at=held.claimed_at).update(**fields, answer_encrypted=""):
        raise DuplicateRequest
    held.claimed_at = now
    return held


def _answer_of(held: IdempotencyKey) -> str:
    try:
        return crypto.decrypt(held.answer_encrypted)
    except crypto.InvalidToken:  # keys were rotated away within a day: better no answer than a second execution
        raise DuplicateRequest("This request was carried out, but its answer can no longer be read") from None


def _fingerprint(request: ApiRequest) -> str:
    """SHA-256 of query and body, without the boundary of a multipart body, which is another one each time."""
    body: bytes = request._request.body
    if boundary := _BOUNDARY.search(request.headers.get("Content-Type", "")):
        body = body.replace(boundary[1].encode(), b"")
    query: str = request.META.get("QUERY_STRING", "")
    return hashlib.sha256(query.encode() + b"\0" + body).hexdigest()
