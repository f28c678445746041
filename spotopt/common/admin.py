"""The operators' console: one base class, so that looks and habits change in one place."""

from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property


class BoundedPaginator(Paginator):
    """Counts no further than LIMIT: tables that only grow have millions of rows, and nobody turns 200 pages."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)
        return rows.order_by()[: self.LIMIT].count()


class OpsAdmin(admin.ModelAdmin):
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator


class ReadOnlyAdmin(OpsAdmin):
    """History, and what only services may change: looked at, never edited."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HistoryAdmin(ReadOnlyAdmin):
    """Tables that only grow: newest first by primary key, which needs no other index."""

    ordering = ["-pk"]
