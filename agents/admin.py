"""What agents report; nothing here is typed in by hand. (Agents and orders: instances.admin.)"""

from django.contrib import admin

from agents.models import CleanupLog, PricingReport
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin


@admin.register(PricingReport)
class PricingReportAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "agent", "instance_id", "spot_price", "ondemand_price", "pools"]
    list_select_related = ["agent"]
    search_fields = ["=instance_id", "=agent__public_id", "=agent__logical_agent_id"]
    ordering = ["agent", "-received_at"]


@admin.register(CleanupLog)
class CleanupLogAdmin(HistoryAdmin):
    list_display = ["reported_at", "agent", "deleted_snapshots", "deleted_amis", "failed_count"]
    list_select_related = ["agent"]
    search_fields = ["=agent__public_id", "=agent__logical_agent_id"]
