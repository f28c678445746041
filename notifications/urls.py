from django.urls import path

from notifications.views.events import EventStatsViewSet, EventStreamViewSet, EventViewSet
from notifications.views.inbox import ActivityViewSet, NotificationViewSet

urlpatterns = [
    path("api/admin/activity", ActivityViewSet.as_view({"get": "list"})),
    path("api/notifications", NotificationViewSet.as_view({"get": "list"})),
    path("api/notifications/mark-all-read", NotificationViewSet.as_view({"post": "mark_all_read"})),
    path("api/notifications/<str:notification_id>/mark-read", NotificationViewSet.as_view({"post": "mark_read"})),
    path("api/events/stats", EventStatsViewSet.as_view({"get": "stats"})),
    path("api/events/ticket", EventViewSet.as_view({"post": "ticket"})),
    path("api/events/stream", EventStreamViewSet.as_view({"get": "stream"})),
    path("api/events/stream/<str:client_id>", EventStreamViewSet.as_view({"get": "stream_of_client"})),
]
