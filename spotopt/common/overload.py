"""What is refused, and in which order, when calls wait for a thread longer than they are worth (docs/operations.md).

A queue that only grows serves everybody too late. So people are told to come back after a second of waiting, reports
that are repeated anyway after some, polls when their caller has given up; signs of life, notices and other reports of
agents are always carried out: a v5 agent that is refused one falls silent for good (agent-api 3.2).
"""

import math
import re
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from spotopt.common import metrics
from spotopt.common.middleware import unavailable
from spotopt.common.waiting import Kind, seconds_waited

PATIENCE = {
    Kind.PEOPLE: 1.0,
    Kind.REPEATED: 5.0,
    Kind.POLL: 25.0,  # agents hang up after 30 s (agent-api 1.2)
    Kind.NEEDED: math.inf,
}
_REPEATED = re.compile(r"/api/agents/[^/]+/(pricing-report|pricing|decide|switch-recommendation|cleanup-report)")
_NEEDED = ("/health", "/metrics")


class OverloadMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        waited = seconds_waited.get()
        if waited > PATIENCE[Kind.PEOPLE] and waited > PATIENCE[kind := kind_of(request)]:
            metrics.count_refusal(kind)
            response = unavailable("The server is overloaded, try again", "OVERLOADED")
            response.headers["Content-Length"] = str(len(response.content))  # CommonMiddleware stands further in
            return response
        return self.get_response(request)


def kind_of(request: HttpRequest) -> Kind:
    path = request.path_info
    if not path.startswith("/api/agents/"):
        return Kind.NEEDED if path in _NEEDED else Kind.PEOPLE
    if _REPEATED.fullmatch(path):
        return Kind.REPEATED
    return Kind.POLL if request.method == "GET" else Kind.NEEDED
