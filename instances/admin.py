"""Agents, instances, standbys, pools and moves. Roles change through services alone.

An operator may close a pool, and set on an agent what its owner may set through the API.
"""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from agents.models import Agent
from instances.models import (
    Instance,
    InterruptionEpisode,
    LaunchFailure,
    OnDemandPrice,
    OnDemandPriceHistory,
    Pool,
    Replica,
    SpotPriceHistory,
    Switch,
    UsageInterval,
)
from instances.selectors.timelines import steps_of, with_ends
from instances.services.agent_settings import configure
from instances.services.drills import start_drill
from spotopt.common.admin import HistoryAdmin, OpsAdmin, ReadOnlyAdmin
from spotopt.common.errors import DomainError

OF_AGENT = ["=agent__public_id", "=agent__logical_agent_id"]


@admin.register(Agent)
class AgentAdmin(OpsAdmin):
    """Settings go through the service that the API calls; agents come by registering, and go by being removed."""

    SETTINGS = ("emergency_protection", "decision_mode")

    list_display = [
        "logical_agent_id",
        "client",
        "status",
        "protocol",
        "current_mode",
        "current_pool_id",
        "instance_id",
        "notice_status",
        "decision_mode",
        "emergency_protection",
        "last_heartbeat_at",
    ]
    list_filter = ["status", "protocol", "current_mode", "notice_status", "decision_mode", "enabled", "region"]
    list_select_related = ["client"]
    search_fields = [
        "logical_agent_id__startswith",
        "=public_id",
        "=instance_id",
        "hostname__startswith",
        "=client__public_id",
        "=client__name",
    ]
    ordering = ["-last_heartbeat_at", "-id"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.is_deleted)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        known = [field.name for field in Agent._meta.fields if field.name != "id"]
        return [*self.SETTINGS, *(name for name in known if name not in self.SETTINGS)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in self.get_fields(request, obj) if name not in self.SETTINGS]

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        wanted = {name: form.cleaned_data[name] for name in self.SETTINGS}
        configure(agent=obj, settings=wanted, actor=request.user.get_username())


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    list_display = [
        "instance_id",
        "client",
        "agent",
        "status",
        "mode",
        "instance_type",
        "az",
        "termination_hold",
        "termination_attempts",
        "created_at",
    ]
    list_filter = ["status", "mode", "termination_hold"]
    list_select_related = ["client", "agent"]
    search_fields = ["=instance_id", "=private_ip", "=public_ip", "=client__public_id", "=client__name", *OF_AGENT]
    ordering = ["-id"]
    actions = ["rehearse_interruption"]

    def has_drill_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("instances.change_instance")

    @admin.action(description="Rehearse the interruption of these primaries", permissions=["drill"])
    def rehearse_interruption(self, request: HttpRequest, instances: QuerySet[Instance]) -> None:
        for instance in instances.select_related("agent__client"):
            if instance.agent is None or not instance.is_primary:
                self.message_user(request, f"{instance.instance_id} is no primary", messages.WARNING)
                continue
            try:
                drill = start_drill(agent=instance.agent)
            except DomainError as refusal:
                self.message_user(request, refusal.message, messages.WARNING)
            else:
                self.message_user(request, f"{instance.instance_id}: {drill.outcome.message}")


@admin.register(Replica)
class ReplicaAdmin(ReadOnlyAdmin):
    list_display = [
        "public_id",
        "agent",
        "replica_type",
        "status",
        "sync_status",
        "pool_id",
        "instance_id",
        "created_at",
        "termination_confirmed",
    ]
    list_filter = ["status", "replica_type", "sync_status"]
    list_select_related = ["agent"]
    search_fields = ["=public_id", "=instance_id", *OF_AGENT]
    ordering = ["-id"]


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

    search_fields = ["=public_id", "=instance_id", "=pool_id", *OF_AGENT]


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
