from django.contrib import admin

from analytics.models import ArchivedSavings, UsageLedger
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin


@admin.register(UsageLedger)
class UsageLedgerAdmin(HistoryAdmin):
    list_display = [
        "hour",
        "client",
        "agent",
        "instance",
        "role",
        "mode",
        "pool_id",
        "seconds",
        "priced_seconds",
        "paid_usd",
        "baseline_usd",
    ]
    list_filter = ["role", "mode"]
    list_select_related = ["client", "agent", "instance"]
    search_fields = ["=client__public_id", "=agent__public_id", "=instance__instance_id", "=pool_id"]


@admin.register(ArchivedSavings)
class ArchivedSavingsAdmin(ReadOnlyAdmin):
    list_display = ["client", "period", "baseline_usd", "actual_usd", "savings_usd", "computed_at"]
    list_select_related = ["client"]
    ordering = ["client", "period"]
    search_fields = ["=client__public_id", "client__name"]
