from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from instances.models import Instance
from spotopt.common.wire import clean_mode


class InstanceFilter(django_filters.FilterSet):
    """Absent, empty, `all` and unknown values mean no filter (dashboard-api 1.5)."""

    status = django_filters.CharFilter(method="by_activity")
    mode = django_filters.CharFilter(method="by_mode")
    search = django_filters.CharFilter(method="by_text")

    class Meta:
        model = Instance
        fields: list[str] = []

    def by_activity(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Any]:
        wanted = {"active": Instance.ACTIVE, "terminated": Instance.GONE}.get(value.lower())
        return queryset.filter(status__in=wanted) if wanted else queryset

    def by_mode(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Any]:
        mode = clean_mode(value)
        return queryset.filter(mode=mode) if mode != "unknown" else queryset

    def by_text(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Any]:
        return queryset.filter(
            Q(instance_id__icontains=value)
            | Q(instance_type__icontains=value)
            | Q(pool_id__icontains=value)
            | Q(az__icontains=value)
        )
