from typing import Any

import django_filters
from django.db.models import QuerySet

from notifications.models import Notification

_TRUE = ("true", "1", "yes")


class NotificationFilter(django_filters.FilterSet):
    """`unread=true`; every other value means no filter (dashboard-api 1.5). `client_id` is the view's business."""

    unread = django_filters.CharFilter(method="only_unread")

    class Meta:
        model = Notification
        fields: list[str] = []

    def only_unread(self, queryset: QuerySet[Notification], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(read_at=None) if value.lower() in _TRUE else queryset
