"""Real-time events (dashboard-api 2.9)."""

from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import viewsets
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from clients.authentication import BearerAuthentication, StaffSessionAuthentication
from clients.permissions import IsOperator, IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client
from notifications.authentication import TicketAuthentication
from notifications.serializers.events import StreamStatsOut, TicketOut
from notifications.services import tickets
from notifications.stream.bodies import TaskBody, ThreadBody
from notifications.stream.hub import hub
from notifications.stream.presence import open_streams
from notifications.stream.subscription import Audience, Subscription
from spotopt.common import clock

EVENT_STREAM = "text/event-stream"
# A stream that holds a thread gives it back before proxies and agents lose patience; browsers come back by themselves.
THREAD_SECONDS, THREAD_RETRY_SECONDS = 55, 1
TASK_SECONDS, TASK_RETRY_SECONDS = 3600, 3  # then whoever listens has to show again that he may

_PARAMETERS = [
    OpenApiParameter("ticket", str, description="A single-use ticket, instead of an Authorization header."),
    OpenApiParameter("last_event_id", str, description="Resume after this event; the Last-Event-ID header wins."),
    OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER, description="Resume after this event."),
]


class JsonUnlessStreamed(BaseContentNegotiation):
    """EventSource accepts text/event-stream only; refusals are JSON all the same."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class EventStreamViewSet(viewsets.ViewSet):
    authentication_classes = [BearerAuthentication, StaffSessionAuthentication, TicketAuthentication]
    permission_classes = [IsOperatorOrClient]
    content_negotiation_class = JsonUnlessStreamed
    http_method_names = ["get", "options"]  # an ASGI server would send the endless body of a HEAD to nobody

    @extend_schema(
        summary="Events as they happen",
        parameters=[OpenApiParameter("client_id", str, description="Operators: only this client's."), *_PARAMETERS],
        responses={(200, EVENT_STREAM): OpenApiTypes.STR},
    )
    def stream(self, request: ApiRequest) -> StreamingHttpResponse:
        """A client gets its own events, an operator all of them, with `client_id` in `data`."""
        return _stream(request, request.query_params.get("client_id", ""))

    @extend_schema(
        summary="One client's events as they happen",
        parameters=[OpenApiParameter("client_id", str, OpenApiParameter.PATH), *_PARAMETERS],
        responses={(200, EVENT_STREAM): OpenApiTypes.STR},
    )
    def stream_of_client(self, request: ApiRequest, client_id: str) -> StreamingHttpResponse:
        return _stream(request, client_id)


class EventViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]
    looking_actions = ("ticket",)

    @extend_schema(summary="A ticket for one event stream", request=None, responses=TicketOut)
    def ticket(self, request: ApiRequest) -> Response:
        """For browsers: opens one stream as `?ticket=`, within a minute, with the rights of the caller."""
        ticket, row = tickets.issue(who=request.user)
        seconds = int(tickets.LIFETIME.total_seconds())
        return Response({"ticket": ticket, "expires_in": seconds, "expires_at": clock.isoformat(row.expires_at)})


class EventStatsViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(summary="How many event streams are open", responses=StreamStatsOut)
    def stats(self, request: ApiRequest) -> Response:
        """Of all server processes; up to some seconds old."""
        return Response(open_streams())


def _stream(request: ApiRequest, client_id: str) -> StreamingHttpResponse:
    is_async = isinstance(request._request, ASGIRequest)
    subscription = Subscription(
        audience=_audience(request, client_id),
        last_event_id=_last_event_id(request),
        lifetime_seconds=TASK_SECONDS if is_async else THREAD_SECONDS,
        retry_seconds=TASK_RETRY_SECONDS if is_async else THREAD_RETRY_SECONDS,
    )
    hub.admit(subscription, limit=settings.EVENT_STREAM_TASKS if is_async else settings.EVENT_STREAM_THREADS)
    if not connection.in_atomic_block:  # as in tests
        connection.close()  # the hub's thread has one for all streams
    body: TaskBody | ThreadBody = TaskBody(hub, subscription) if is_async else ThreadBody(hub, subscription)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(body, content_type=EVENT_STREAM, headers=headers)


def _audience(request: ApiRequest, client_id: str) -> Audience:
    """Another client's id: IsOperatorOrClient said no. Raises ClientNotFound for an operator's unknown one."""
    if own := request.user.client:
        return Audience(own.pk, own.public_id, own.token_hash)
    if client_id in ("", "all"):
        return Audience()
    client = get_client(public_id=client_id)
    return Audience(client.pk, client.public_id)


def _last_event_id(request: ApiRequest) -> int | None:
    """What is no id of ours counts as none."""
    given = request.headers.get("Last-Event-ID") or request.query_params.get("last_event_id", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None
