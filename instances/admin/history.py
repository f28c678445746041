"""What happened: moves, interruptions, refused launches, and the journal the ledger is computed from."""

from django.contrib import admin
from django.utils.html import format_html, format_html_join

from instances.admin.agents import OF_AGENT
from instances.models import InterruptionEpisode, LaunchFailure, Switch, UsageInterval
from instances.selectors.timelines import steps_of, with_ends
from spotopt.common.admin import HistoryAdmin


@admin.register(Switch)
class SwitchAdmin(HistoryAdmin):
    list_display = [
        "created_at",
        "agent",
        "client",
        "trigger",
        "source",
        "old_instance_id",
        "new_instance_id",
        "old_mode",
        "new_mode",
        "savings_impact",
        "downtime_seconds",
        "success",
        "is_anomalous",
    ]
    list_filter = ["trigger", "source", "success", "is_anomalous"]
    list_select_related = ["agent", "client"]
    search_fields = ["=public_id", "=old_instance_id", "=new_instance_id", *OF_AGENT]


@admin.register(InterruptionEpisode)
class InterruptionEpisodeAdmin(HistoryAdmin):
    list_display = [
        "detected_at",
        "agent",
        "instance_id",
        "kind",
        "status",
        "response",
        "pool_id",
        "reports",
        "deadline_at",
        "is_drill",
    ]
    list_filter = ["kind", "status", "response", "is_drill"]
    list_select_related = ["agent"]
    search_fields = ["=public_id", "=instance_id", "=pool_id", *OF_AGENT]
    readonly_fields = ["timeline"]

    @admin.display(description="Timeline")
    def timeline(self, episode: InterruptionEpisode) -> str:
        """A bar per step, to scale, with the seconds since the signal."""
        ((_, gone_at),) = with_ends([episode])
        steps = [step for step in steps_of(episode, gone_at) if step["seconds"] is not None]
        longest = max([step["seconds"] for step in steps] + [1.0])
        rows = (
            (
                step["step"].replace("_", " "),
                max(0.5, 100 * step["seconds"] / longest),
                f"{step['seconds']:.1f}",
                step["at"],
            )
            for step in steps
        )
        return format_html(
            '<table style="min-width:40em">{}</table>',
            format_html_join(
                "",
                "<tr><td>{}</td><td style='width:50%'><div style='background:#417690;height:1em;width:{}%'></div></td>"
                "<td>+{} s</td><td>{}</td></tr>",
                rows,
            ),
        )


@admin.register(LaunchFailure)
class LaunchFailureAdmin(HistoryAdmin):
    list_display = ["at", "agent", "pool_id", "error_class", "error_code", "message"]
    list_filter = ["error_class"]
    list_select_related = ["agent"]
    search_fields = ["=pool_id", "=error_code", *OF_AGENT]


@admin.register(UsageInterval)
class UsageIntervalAdmin(HistoryAdmin):
    list_display = ["started_at", "ended_at", "instance", "role", "mode", "pool_id"]
    list_filter = ["role", "mode"]
    list_select_related = ["instance"]
    search_fields = ["=instance__instance_id", "=pool_id"]
