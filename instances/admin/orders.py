"""Orders to agents. They are given on the page of what they are for; here one that waits can be taken back."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.models import Command
from instances.admin.agents import OF_AGENT
from instances.services import interventions
from spotopt.common.admin import HistoryAdmin


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
        "reason",
        "message",
    ]
    list_filter = ["status", "command_type", "purpose"]
    list_select_related = ["agent", "client"]
    search_fields = ["=public_id", "=request_id", "=instance_id", *OF_AGENT]
    actions = ["cancel"]

    def suits(self, action: str, row: Any) -> bool:
        return row.status == Command.Status.PENDING

    @admin.action(description="Take back: the agent has not fetched it", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Command]) -> None:
        actor = request.user.get_username()

        def act(command: Command) -> str:
            interventions.cancel_order(command=command, actor=actor)
            return "cancelled"

        self.on_each(request, queryset.select_related("agent"), act)
