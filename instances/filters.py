from typing import Any

import django_filters
from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Concat, Lower

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
        columns = ("instance_id", "instance_type", "pool_id", "az")
        parts = [part for name in columns for part in (F(name), Value(" "))]
        text = Lower(Concat(*parts, output_field=CharField()))  # ids compare by case on MySQL
        return queryset.alias(text=text).filter(text__contains=value.lower())
