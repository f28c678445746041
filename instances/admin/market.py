"""Pools and prices. An operator may close a pool; all else is what agents reported."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from instances.models import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory
from spotopt.common.admin import HistoryAdmin, OpsAdmin, ReadOnlyAdmin


@admin.register(Pool)
class PoolAdmin(OpsAdmin):
    """Only `is_active` is for people: a closed pool is no target for new moves."""

    list_display = ["pool_id", "region", "is_active", "price", "ondemand", "changed_at", "last_confirmed_at"]
    list_filter = ["is_active", "region"]
    list_select_related = ["ondemand"]
    search_fields = ["pool_id__startswith", "=az"]
    ordering = ["pool_id"]
    readonly_fields = [
        "pool_id",
        "instance_type",
        "region",
        "az",
        "ondemand",
        "price",
        "changed_at",
        "last_confirmed_at",
        "recorded_at",
        "created_at",
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Pool, form: Any, change: bool) -> None:
        obj.save(update_fields=["is_active"])  # prices may have moved while the page was open


@admin.register(OnDemandPrice)
class OnDemandPriceAdmin(ReadOnlyAdmin):
    list_display = ["instance_type", "region", "price", "is_estimate", "changed_at", "last_confirmed_at"]
    list_filter = ["is_estimate", "region"]
    search_fields = ["instance_type__startswith"]
    ordering = ["instance_type", "region"]


@admin.register(SpotPriceHistory)
class SpotPriceHistoryAdmin(HistoryAdmin):
    list_display = ["at", "pool", "price"]
    list_select_related = ["pool"]
    search_fields = ["=pool__pool_id"]


@admin.register(OnDemandPriceHistory)
class OnDemandPriceHistoryAdmin(HistoryAdmin):
    list_display = ["at", "quote", "price"]
    list_select_related = ["quote"]
    search_fields = ["=quote__instance_type"]
