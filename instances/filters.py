from typing import Any

import django_filters
from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Concat, Lower

from agents.models import Agent
from clients.models import Client
from instances.models import Instance
from instances.selectors.search import AGENT_COLUMNS, matching
from spotopt.common.fields import Mode
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


class AdminInstanceFilter(InstanceFilter):
    """The operators' list (dashboard-api 2.2)."""

    region = django_filters.CharFilter(method="by_region")
    client_id = django_filters.CharFilter(method="by_client")

    @property
    def wanted(self) -> dict[str, str | None]:
        """What is filtered by, once the filter set is valid; null where nothing is."""
        given = self.form.cleaned_data
        status, mode = given["status"].lower(), clean_mode(given["mode"])
        return {
            "status": status if status in ("active", "terminated") else None,
            "mode": mode.value if mode != Mode.UNKNOWN else None,
            "region": _unless_all(given["region"]),
            "client_id": _unless_all(given["client_id"]),
            "search": given["search"] or None,
        }

    def by_region(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Any]:
        return queryset if value == "all" else queryset.filter(region=value)

    def by_client(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Any]:
        return queryset if value == "all" else queryset.filter(client__public_id=value)

    def by_text(self, queryset: QuerySet[Instance], name: str, value: str) -> QuerySet[Any]:
        """Clients are looked up first, for the reason that `as_admin_rows` gives."""
        named = list(matching(Client.objects.all(), ("name",), value).values_list("pk", flat=True))
        own = matching(queryset, ("instance_id", "instance_type", "region", "az"), value)
        return own | queryset.filter(client__in=named)


class AgentFilter(django_filters.FilterSet):
    """The operators' list (dashboard-api 2.2). Deleted agents only where asked for; otherwise as InstanceFilter."""

    status = django_filters.CharFilter(method="by_status")
    client_id = django_filters.CharFilter(method="by_client")
    search = django_filters.CharFilter(method="by_text")
    include_deleted = django_filters.CharFilter(method="by_nothing")

    class Meta:
        model = Agent
        fields: list[str] = []

    def filter_queryset(self, queryset: QuerySet[Agent]) -> QuerySet[Any]:
        found = super().filter_queryset(queryset)
        return found if self.shows_deleted else found.exclude(status=Agent.Status.DELETED)

    @property
    def wanted(self) -> dict[str, Any]:
        """What is filtered by, once the filter set is valid; null where nothing is."""
        given = self.form.cleaned_data
        return {
            "status": _known_status(given["status"]),
            "client_id": given["client_id"] if given["client_id"] not in ("", "all") else None,
            "search": given["search"] or None,
            "include_deleted": self.shows_deleted,
        }

    @property
    def shows_deleted(self) -> bool:
        given = self.form.cleaned_data
        is_asked = given["include_deleted"].lower() in ("1", "true", "yes")
        return is_asked or _known_status(given["status"]) == Agent.Status.DELETED

    def by_status(self, queryset: QuerySet[Agent], name: str, value: str) -> QuerySet[Any]:
        status = _known_status(value)
        return queryset.filter(status=status) if status else queryset

    def by_client(self, queryset: QuerySet[Agent], name: str, value: str) -> QuerySet[Any]:
        return queryset if value == "all" else queryset.filter(client__public_id=value)

    def by_text(self, queryset: QuerySet[Agent], name: str, value: str) -> QuerySet[Any]:
        return matching(queryset, (*AGENT_COLUMNS, "client__name"), value)

    def by_nothing(self, queryset: QuerySet[Agent], name: str, value: str) -> QuerySet[Any]:
        """`include_deleted` widens what is found, which is for `filter_queryset` to do."""
        return queryset


def _unless_all(value: str) -> str | None:
    return value if value not in ("", "all") else None


def _known_status(value: str) -> str | None:
    return value.lower() if value.lower() in Agent.Status.values else None
