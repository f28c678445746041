"""The operators' console: one base class, so that looks and habits change in one place."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property


class NoCountPaginator(Paginator):
    """No COUNT(*) on tables that only grow; the list says how far one may page, not how many rows there are."""

    @cached_property
    def count(self) -> int:  # type: ignore[override]
        return 10_000


class OpsAdmin(admin.ModelAdmin):
    list_per_page = 50
    show_full_result_count = False


class ReadOnlyAdmin(OpsAdmin):
    """History: looked at, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HistoryAdmin(ReadOnlyAdmin):
    """Tables that only grow: no counts, newest first by primary key."""

    paginator = NoCountPaginator
    ordering = ["-pk"]
