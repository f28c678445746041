"""Moves that wait for a person, and shadows: decided on here or through the API, by one service."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from decisions.models import Recommendation, Shadow, ShadowDay
from decisions.selectors.shadows import bills_of, with_sums
from decisions.services import approvals
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin


@admin.register(Recommendation)
class RecommendationAdmin(HistoryAdmin):
    list_display = [
        "created_at", "client", "agent", "status", "current_pool_id", "target_mode", "target_pool_id",
        "expected_savings", "expires_at", "decided_by", "reason",
    ]  # fmt: skip
    list_filter = ["status"]
    list_select_related = ["client", "agent"]
    search_fields = ["=public_id", "=agent__public_id", "=client__public_id", "=command_id", "=decision_id"]
    actions = ["approve", "reject"]

    def suits(self, action: str, row: Recommendation) -> bool:
        return row.status == Recommendation.Status.PENDING

    @admin.action(description="Approve: order these moves", permissions=["operate"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Recommendation]) -> None:
        self.on_each(request, queryset, lambda one: self._decided(request, one, approvals.approve))

    @admin.action(description="Reject these moves", permissions=["operate"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Recommendation]) -> None:
        self.on_each(request, queryset, lambda one: self._decided(request, one, approvals.reject))

    def _decided(self, request: HttpRequest, one: Recommendation, decide: Callable[..., Recommendation]) -> str:
        decided = decide(recommendation=one, actor=request.user.get_username())
        return f"the move of {one.agent} was {decided.status}"


@admin.register(Shadow)
class ShadowAdmin(ReadOnlyAdmin):
    """Where workloads would be had their recommendations been followed, and what that would have saved of late."""

    DAYS = 30

    list_display = [
        "agent", "acting_mode", "mode", "pool_id", "started_at", "ended_at", "hours", "real_usd", "shadow_usd",
        "would_have_saved_usd",
    ]  # fmt: skip
    list_select_related = ["agent__client"]
    search_fields = ["=agent__public_id", "=agent__logical_agent_id", "=agent__client__public_id"]
    ordering = ["-started_at", "-pk"]
    readonly_fields = ["hours", "real_usd", "shadow_usd", "would_have_saved_usd"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_sums(super().get_queryset(request), days=self.DAYS)

    @admin.display(description="mode of its agent")
    def acting_mode(self, shadow: Shadow) -> str:
        return shadow.agent.acting_mode.label

    @admin.display(description=f"priced hours, {DAYS} days")
    def hours(self, shadow: Any) -> Any:
        return bills_of(shadow)["priced_hours"]

    @admin.display(description="real USD", empty_value="unknown")
    def real_usd(self, shadow: Any) -> Any:
        return bills_of(shadow)["real_usd"]

    @admin.display(description="USD had it been followed", empty_value="unknown")
    def shadow_usd(self, shadow: Any) -> Any:
        return bills_of(shadow)["shadow_usd"]

    @admin.display(description="USD it would have saved", empty_value="unknown")
    def would_have_saved_usd(self, shadow: Any) -> Any:
        return bills_of(shadow)["would_have_saved_usd"]


@admin.register(ShadowDay)
class ShadowDayAdmin(HistoryAdmin):
    list_display = ["day", "client", "agent", "seconds", "priced_seconds", "real_usd", "shadow_usd"]
    list_select_related = ["client", "agent"]
    search_fields = ["=agent__public_id", "=client__public_id"]
