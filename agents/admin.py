"""Orders to agents and what they report; nothing here is typed in by hand. (Agents: instances.admin.)"""

from django.contrib import admin

from agents.models import CleanupLog, Command, PricingReport
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin


@admin.register(Command)
class CommandAdmin(HistoryAdmin):
    list_display = [
        "created_at",
        "agent",
        "client",
        "command_type",
        "status",
        "priority",
        "target_pool_id",
        "created_by",
        "message",
    ]
    list_filter = ["status", "command_type", "purpose"]
    list_select_related = ["agent", "client"]
    search_fields = ["=public_id", "=request_id", "=instance_id", "=agent__public_id", "=agent__logical_agent_id"]


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
