"""How often people and their scripts may call (dashboard-api 1.10: operators' traffic ≥ 120 a minute).

Counted in each process's memory, so N web processes let through up to N times the rate: that is exact enough to stop a
script that runs wild, and it costs the many polls of the dashboard nothing, where a shared counter would cost a
statement each. What agents call sets no throttles at all (agent-api 1.2 rule 14).
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.throttling import BaseThrottle

from clients.principals import ApiRequest
from clients.ratelimit import PerMinute
from spotopt.common.addresses import peer_address

calls = PerMinute()


class Standing(NamedTuple):
    """Where the caller stands within its limit, for the headers."""

    policy: str
    limit: int
    remaining: int
    reset: int


class PeopleThrottle(BaseThrottle):
    limits_rate = True  # read by spotopt.common.schema

    def allow_request(self, request: Any, view: Any) -> bool:
        is_read = request.method in SAFE_METHODS
        limit = settings.READS_PER_MINUTE if is_read else settings.WRITES_PER_MINUTE
        if request.user is None or limit <= 0:
            return True
        policy = "reads" if is_read else "writes"
        used, reset = calls.count((policy, _who(request)))
        request._request.rate_limit = Standing(policy, limit, max(0, limit - used), reset)
        if used > limit:
            raise Throttled(wait=reset, detail="Too many requests, try again later.")
        return True


class RateLimitMiddleware:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), and the older three."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        standing: Standing | None = getattr(request, "rate_limit", None)
        if standing is not None:
            policy, limit, remaining, reset = standing
            response.headers["RateLimit-Policy"] = f'"{policy}";q={limit};w={round(PerMinute.WINDOW)}'
            response.headers["RateLimit"] = f'"{policy}";r={remaining};t={reset}'
            response.headers["RateLimit-Limit"] = str(limit)
            response.headers["RateLimit-Remaining"] = str(remaining)
            response.headers["RateLimit-Reset"] = str(reset)
        return response


def _who(request: ApiRequest) -> Hashable:
    """The admin token may be that of a proxy in front of many operators (dashboard-api 1.3 A): each counts alone."""
    who = request.user
    return (who.key, peer_address(request)) if who.is_operator else who.key
