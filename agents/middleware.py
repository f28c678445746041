"""The same request of an agent at rest gets the same answer, from memory (docs/hot-path.md)."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch

from agents.memory import LIFETIME_SECONDS, MEMORY, Answer
from agents.models import Agent
from spotopt.common import clock, logs, metrics

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_PREFIX, _HEARTBEAT = "/api/agents/", "/heartbeat"
_LARGEST_BODY = 64 * 1024
# Different in every call, and read by nobody who answers agents.
_TRACING = {"HTTP_X_REQUEST_ID", "HTTP_X_AMZN_TRACE_ID", "HTTP_TRACEPARENT", "HTTP_TRACESTATE"}
_SERVER_TIME = re.compile(rb'(?<="server_time":")[^"]*')
_OWN = ("content-length", "date")  # headers that are made anew
# Tens of thousands of answers share a few of these.
_MATCHES: dict[str, ResolverMatch] = {}
_HEADERS: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}


@dataclass(frozen=True)
class AtRest:
    """Left on the request by a view whose answer depends on nothing but the request and the agent as it was read."""

    agent: Agent
    instance_id: str = ""  # heard by this call


class AgentMemoryMiddleware:
    """Stands before everything but the request log: what it answers was answered by all of it before."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        key = _key(request) if settings.AGENT_MEMORY and request.path_info.startswith(_PREFIX) else None
        if key is None:
            return self.get_response(request)
        if answer := MEMORY.recall(key):
            return _repeat(request, answer)
        response = self.get_response(request)
        if isinstance(response, HttpResponse):
            _remember(request, response, key)
        return response


def _key(request: HttpRequest) -> bytes | None:
    """A digest of all that an answer can depend on, the token included; None when such calls are not remembered."""
    meta = request.META
    parts = [request.method or "", request.scheme or "", request.path]
    parts += [str(meta.get(name)) for name in ("QUERY_STRING", "REMOTE_ADDR")]
    parts += [f"{name}:{meta[name]}" for name in meta if name.startswith("HTTP_") and name not in _TRACING]
    if request.method == "POST" and request.path_info.endswith(_HEARTBEAT):
        body = _heartbeat_body(request)
        if body is None:
            return None
        parts.append(body)
    elif request.method != "GET":
        return None
    return blake2b("\n".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _heartbeat_body(request: HttpRequest) -> str | None:
    """Without v5's uptime, which is new every time and kept nowhere."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() or int(length) > _LARGEST_BODY:
        return None
    try:
        body = json.loads(request.body)
    except (OSError, ValueError, RecursionError):  # the view says what is wrong with it
        return None
    if not isinstance(body, dict):
        return None
    body.pop("health_metrics", None)
    return json.dumps(body)


def _repeat(request: HttpRequest, answer: Answer) -> HttpResponse:
    logs.client.set(answer.client_id)
    logs.agent.set(answer.agent_id)
    if answer.instance_id:
        MEMORY.hear(answer)
    request.resolver_match = answer.match
    request.is_recalled = True  # type: ignore[attr-defined]
    metrics.count_recalled()
    now = clock.isoformat(clock.now()) or ""
    response = HttpResponse(now.encode().join(answer.body), headers=answer.headers)
    response.headers["Content-Length"] = str(len(response.content))
    return response


def _remember(request: HttpRequest, response: HttpResponse, key: bytes) -> None:
    rest: AtRest | None = getattr(request, "at_rest", None)
    if rest is None or response.status_code != 200 or response.cookies or request.resolver_match is None:
        return
    headers = tuple(item for item in response.headers.items() if item[0].lower() not in _OWN)
    answer = Answer(
        agent_pk=rest.agent.pk,
        agent_id=rest.agent.public_id,
        client_id=rest.agent.client.public_id,
        instance_id=rest.instance_id,
        match=_MATCHES.setdefault(request.resolver_match.route, request.resolver_match),
        headers=_HEADERS.setdefault(headers, dict(headers)),
        body=tuple(_SERVER_TIME.split(response.content)),
        until=time.monotonic() + LIFETIME_SECONDS,
    )
    MEMORY.remember(key, answer, changed_at=rest.agent.changed_at)
