"""The same request of an agent at rest gets the same answer, from memory (docs/hot-path.md).

`AnswerFromMemory` stands before Django and repeats what `RememberAnswers`, inside of it, has put down.
"""

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from agents.memory import LIFETIME_SECONDS, MEMORY, Answer
from agents.models import Agent
from spotopt.common import clock, logs, metrics
from spotopt.common.middleware import log, log_request

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
GetResponse = Callable[[HttpRequest], HttpResponseBase]

_KEY = "spotopt.memory_key"  # in the environ: the answer may be kept under it
_PREFIX, _HEARTBEAT = "/api/agents/", "/heartbeat"
_LARGEST_BODY = 64 * 1024
_NAMED = ("wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "CONTENT_TYPE")
# Different in every call, and read by nobody who answers agents.
_TRACING = {"HTTP_X_REQUEST_ID", "HTTP_X_AMZN_TRACE_ID", "HTTP_TRACEPARENT", "HTTP_TRACESTATE"}
_UPTIME = b"health_metrics"
_SERVER_TIME = re.compile(rb'(?<="server_time":")[^"]*')
_OWN = ("content-length", "date")  # headers that are made anew
_HEADERS: dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = {}  # tens of thousands share a few


class AnswerFromMemory:
    """All that an agent at rest meets of this server: Django's handling of a request costs more than the answer."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(_PREFIX) and settings.AGENT_MEMORY and (key := _key(environ)):
            if answer := MEMORY.recall(key):
                return _repeat(answer, environ, start_response)
            environ[_KEY] = key
        return self.application(environ, start_response)


def _key(environ: Environ) -> bytes | None:
    """A digest of all that an answer can depend on, the token included; None when such calls are not remembered."""
    method = environ["REQUEST_METHOD"]
    if method == "GET":
        body = b""
    elif method == "POST" and environ["PATH_INFO"].endswith(_HEARTBEAT) and (read := _read(environ)):
        body = _without_uptime(read) if _UPTIME in read else read
    else:
        return None
    parts = [method, *[str(environ.get(name)) for name in _NAMED]]
    parts += [f"{name}:{environ[name]}" for name in environ if name.startswith("HTTP_") and name not in _TRACING]
    head = "\n".join(parts).encode("utf-8", "surrogateescape")
    return blake2b(head + b"\n\n" + body, digest_size=16).digest()


def _read(environ: Environ) -> bytes:
    """The body, which Django can read again; empty when it is too long, or as long as only its end tells."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() or int(length) > _LARGEST_BODY:
        return b""
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _without_uptime(body: bytes) -> bytes:
    """v5's is new every time and kept nowhere."""
    try:
        content = json.loads(body)
        content.pop("health_metrics", None)
    except (ValueError, RecursionError, AttributeError, TypeError):  # the view says what is wrong with it
        return body
    return json.dumps(content).encode()


def _repeat(answer: Answer, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    started = time.monotonic()
    if answer.instance_id:
        MEMORY.hear(answer)
    body = (clock.isoformat(clock.now()) or "").encode().join(answer.body)
    start_response("200 OK", [*answer.headers, ("Content-Length", str(len(body)))])
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    seconds = time.monotonic() - started
    metrics.count_request(method=method, route=answer.route, status=200, seconds=seconds)
    metrics.count_recalled()
    if log.isEnabledFor(logging.DEBUG):  # agents at rest say the same all day
        logs.start_request()
        logs.client.set(answer.client_id)
        logs.agent.set(answer.agent_id)
        given = environ.get("HTTP_X_REQUEST_ID", "")
        log_request(logging.DEBUG, method=method, path=path, status=200, seconds=seconds, given=given)
    return [body]


@dataclass(frozen=True)
class AtRest:
    """Left on the request by a view whose answer depends on nothing but the request and the agent as it was read."""

    agent: Agent
    instance_id: str = ""  # heard by this call


class RememberAnswers:
    """Stands before everything but the request log: what is kept has been through all of it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        rest: AtRest | None = getattr(request, "at_rest", None)
        key = request.META.get(_KEY)
        if key and rest and isinstance(response, HttpResponse) and response.status_code == 200 and not response.cookies:
            _remember(key, rest, response, route=metrics.route_of(request))
        return response


def _remember(key: bytes, rest: AtRest, response: HttpResponse, *, route: str) -> None:
    headers = tuple(item for item in response.headers.items() if item[0].lower() not in _OWN)
    answer = Answer(
        agent_pk=rest.agent.pk,
        agent_id=rest.agent.public_id,
        client_id=rest.agent.client.public_id,
        instance_id=rest.instance_id,
        route=route,
        headers=_HEADERS.setdefault(headers, headers),
        body=tuple(_SERVER_TIME.split(response.content)),
        until=time.monotonic() + LIFETIME_SECONDS,
    )
    MEMORY.remember(key, answer, changed_at=rest.agent.changed_at)
