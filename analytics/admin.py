from decimal import Decimal

from django.contrib import admin

from analytics.models import ArchivedSavings, ClientDay, SwitchTally, UsageLedger
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


@admin.register(ClientDay)
class ClientDayAdmin(HistoryAdmin):
    list_display = ["day", "client", "seconds", "priced_seconds", "baseline_usd", "paid_usd", "saved_usd"]
    list_select_related = ["client"]
    search_fields = ["=client__public_id", "=client__name"]

    @admin.display(description="saved usd")
    def saved_usd(self, day: ClientDay) -> Decimal:
        return day.baseline_usd - day.paid_usd


@admin.register(SwitchTally)
class SwitchTallyAdmin(ReadOnlyAdmin):
    list_display = ["agent", "client", "manual", "automatic", "emergency", "unknown"]
    list_select_related = ["agent", "client"]
    search_fields = ["=client__public_id", "=client__name", "=agent__public_id", "=agent__logical_agent_id"]
    ordering = ["-pk"]


@admin.register(ArchivedSavings)
class ArchivedSavingsAdmin(ReadOnlyAdmin):
    list_display = ["client", "period", "baseline_usd", "actual_usd", "savings_usd", "computed_at"]
    list_select_related = ["client"]
    ordering = ["client", "period"]
    search_fields = ["=client__public_id", "client__name"]
