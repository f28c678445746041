"""Decisions with their reasons, and model sessions, which are exchanged here or through the API by one service."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from decisions import admin_modes  # noqa: F401 (registers the rest)
from decisions.models import DecisionRecord, ModelFile, ModelSession, PoolExperience, SpotAdvice
from decisions.services import sessions
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin
from spotopt.common.errors import DomainError


class ModelFileInline(admin.TabularInline):
    model = ModelFile
    fields = ["name", "size", "sha256", "metadata"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(DecisionRecord)
class DecisionRecordAdmin(HistoryAdmin):
    """What was decided and why, "nothing" included."""

    list_display = [
        "created_at", "agent", "decision_type", "current_pool_id", "target_pool_id", "expected_savings", "risk_score",
        "evaluations", "reason",
    ]  # fmt: skip
    list_filter = ["decision_type", "source"]
    list_select_related = ["agent"]
    search_fields = ["=public_id", "=agent__public_id", "=command_id"]
    readonly_fields = ["candidates"]
    exclude = ["details"]

    @admin.display(description="candidates")
    def candidates(self, record: DecisionRecord) -> str:
        """Current first, then by price and risk, each with what it was worth and why it lost."""
        shown = ("price", "risk_cost", "interruption_probability_24h", "net_saving", "gain_usd", "move_price_usd")
        head = format_html_join("", "<th>{}</th>", ([name] for name in ("place", *shown, "verdict", "reason")))
        rows = [
            format_html_join("", "<td>{}</td>", ([cell] for cell in _cells(candidate, shown)))
            for candidate in record.details.get("candidates", [])
        ]
        return format_html(
            "<table><tr>{}</tr>{}</table>", head, format_html_join("", "<tr>{}</tr>", ([r] for r in rows))
        )


def _cells(candidate: dict[str, Any], shown: Iterable[str]) -> list[Any]:
    numbers = ["unknown" if candidate.get(name) is None else candidate[name] for name in shown]
    return [candidate["pool_id"] or "on-demand", *numbers, candidate["verdict"], candidate["reason"]]


@admin.register(SpotAdvice)
class SpotAdviceAdmin(ReadOnlyAdmin):
    list_display = ["instance_type", "region", "bucket", "savings_percent", "loaded_at"]
    list_filter = ["region", "bucket"]
    search_fields = ["instance_type__startswith"]
    ordering = ["instance_type", "region"]


@admin.register(PoolExperience)
class PoolExperienceAdmin(ReadOnlyAdmin):
    list_display = ["pool_id", "reclaims", "exposure_hours", "as_of"]
    search_fields = ["pool_id__startswith"]
    ordering = ["pool_id"]


@admin.register(ModelSession)
class ModelSessionAdmin(HistoryAdmin):
    list_display = [
        "name",
        "version",
        "status",
        "file_count",
        "total_size",
        "uploaded_by",
        "created_at",
        "activated_at",
    ]
    list_filter = ["status"]
    search_fields = ["=public_id", "name__startswith"]
    inlines = [ModelFileInline]
    actions = ["make_live", "roll_back"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted = super().get_queryset(request)
        return counted.annotate(file_count=Count("files"), total_size=Sum("files__size"))

    @admin.display(description="files", ordering="file_count")
    def file_count(self, session: Any) -> int:
        return int(session.file_count)

    @admin.display(description="bytes", ordering="total_size")
    def total_size(self, session: Any) -> int:
        return int(session.total_size or 0)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Nobody changes rows here, so the right to is asked for by its name."""
        return request.user.has_perm("decisions.change_modelsession")

    @admin.action(description="Make the selected session live", permissions=["operate"])
    def make_live(self, request: HttpRequest, queryset: QuerySet[ModelSession]) -> None:
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(request, "Select one session", messages.ERROR)
            return
        try:
            session = sessions.activate(session_id=chosen[0].public_id, actor=request.user.get_username())
        except DomainError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
        else:
            self.message_user(request, f"Models {session} are live", messages.SUCCESS)

    @admin.action(description="Go back to the fallback, whichever is selected", permissions=["operate"])
    def roll_back(self, request: HttpRequest, queryset: QuerySet[ModelSession]) -> None:
        try:
            session = sessions.roll_back(actor=request.user.get_username())
        except DomainError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
        else:
            self.message_user(request, f"Models {session} are live again", messages.SUCCESS)
