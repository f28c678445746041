"""The inbox and the activity log (dashboard-api 2.2, 2.7)."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from clients.models import Client
from clients.permissions import IsOperator, IsOperatorOrClient
from clients.principals import ApiRequest, Principal
from clients.services import get_client
from notifications.filters import NotificationFilter
from notifications.models import Notification
from notifications.selectors.activity import latest_activity
from notifications.selectors.inbox import latest_notifications
from notifications.serializers.inbox import ActivityOut, AllMarkedOut, MarkAllReadIn, MarkedOut, NotificationOut
from notifications.services import reading
from spotopt.common.params import whole_number

MOST_NOTIFICATIONS, MOST_ACTIVITY = 100, 200


class NotificationViewSet(viewsets.GenericViewSet[Notification]):
    queryset = Notification.objects.all()
    permission_classes = [IsOperatorOrClient]
    filterset_class = NotificationFilter

    @extend_schema(
        summary="Notifications, newest first",
        parameters=[
            OpenApiParameter("client_id", str, description="Operators: this client's and those to everyone."),
            OpenApiParameter("unread", bool, description="`true`: only unread ones."),
            OpenApiParameter("limit", int, description=f"1 to {MOST_NOTIFICATIONS}, 10 unless told."),
        ],
        responses=NotificationOut(many=True),
    )
    def list(self, request: ApiRequest) -> Response:
        """A client sees its own messages and those to everyone."""
        client = _client(request.user, request.query_params.get("client_id"))
        messages = self.filter_queryset(self.get_queryset())
        limit = whole_number(request, "limit", default=10, most=MOST_NOTIFICATIONS)
        return Response(latest_notifications(messages=messages, client=client, limit=limit))

    @extend_schema(
        summary="Mark a notification as read",
        parameters=[OpenApiParameter("notification_id", str, OpenApiParameter.PATH)],
        request=None,
        responses=MarkedOut,
    )
    def mark_read(self, request: ApiRequest, notification_id: str) -> Response:
        reading.mark_read(who=request.user, notification_id=notification_id)
        return Response({"success": True})

    @extend_schema(summary="Mark all notifications as read", request=MarkAllReadIn, responses=AllMarkedOut)
    def mark_all_read(self, request: ApiRequest) -> Response:
        """A client's own ones; an operator's call without a client marks everybody's."""
        body = MarkAllReadIn(data=request.data)
        body.is_valid(raise_exception=True)
        client = _client(request.user, body.validated_data.get("client_id"))
        marked = reading.mark_all_read(who=request.user, client=client)
        return Response({"success": True, "marked_count": marked})


class ActivityViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(
        summary="What happened lately, newest first",
        parameters=[OpenApiParameter("limit", int, description=f"1 to {MOST_ACTIVITY}, 50 unless told.")],
        responses=ActivityOut(many=True),
    )
    def list(self, request: ApiRequest) -> Response:
        limit = whole_number(request, "limit", default=50, most=MOST_ACTIVITY)
        return Response(latest_activity(limit=limit))


def _client(who: Principal, client_id: str | None) -> Client | None:
    """Whose messages are meant; None: everybody's."""
    if client_id in (None, "", "all"):
        return who.client
    if not who.may_see(str(client_id)):
        raise PermissionDenied(IsOperatorOrClient.message)
    return who.client or get_client(public_id=str(client_id))
