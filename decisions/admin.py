"""Decisions with their reasons, and what they rest on."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join

from decisions import admin_modes, admin_uploads  # noqa: F401 (register the rest)
from decisions.models import DecisionRecord, PoolExperience, SpotAdvice
from decisions.pictures import candidates_picture
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin


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
    readonly_fields = ["picture", "candidates"]
    exclude = ["details"]

    @admin.display(description="what each place would cost")
    def picture(self, record: DecisionRecord) -> str:
        here = {"spot": record.current_pool_id, "ondemand": ""}.get(record.current_mode)
        target = None if record.decision_type == DecisionRecord.Type.STAY else record.target_pool_id
        return candidates_picture(record.details.get("candidates", []), here=here, target=target)

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
