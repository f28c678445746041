"""Instances and standbys: what is stuck is released here, what is too much is ended."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from instances.admin.agents import DRILL, OF_AGENT, primary_agent
from instances.models import Instance, Replica
from instances.services import interventions, orders, standby_reports
from instances.services.drills import start_drill
from spotopt.common.admin import ReadOnlyAdmin, Related, is_confirmed


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
    actions = ["rehearse_interruption", "release_termination", "confirm_gone", "terminate"]
    related = (
        Related("Usage", "instances.usageinterval", "instance__id__exact"),
        Related("Ledger", "analytics.usageledger", "instance__id__exact"),
        Related("Events", "notifications.systemevent", "instance_id", "instance_id"),
    )

    def suits(self, action: str, row: Any) -> bool:
        if row.agent_id is None or row.termination_confirmed:
            return False
        is_held = row.is_gone and bool(row.termination_hold or row.termination_attempts)
        return {
            "rehearse_interruption": row.is_primary,
            "release_termination": is_held,
            "terminate": row.is_active or row.status == Instance.Status.ZOMBIE,
        }.get(action, True)

    @admin.action(description="Rehearse an interruption …", permissions=["operate"])
    def rehearse_interruption(self, request: HttpRequest, queryset: QuerySet[Instance]) -> HttpResponse | None:
        if not is_confirmed(request):
            return self.ask(request, queryset, title="Rehearse the interruption", warning=DRILL)
        rows = queryset.select_related("agent__client")
        self.on_each(request, rows, lambda row: start_drill(agent=primary_agent(row)).outcome.message)
        return None

    @admin.action(description="Let it be terminated: release the hold, try again …", permissions=["operate"])
    def release_termination(self, request: HttpRequest, queryset: QuerySet[Instance]) -> HttpResponse | None:
        if not is_confirmed(request):
            warning = (
                "Look first: does the workload run on another instance? Its agent will terminate these in EC2 with its "
                "next calls. An agent of generation 2 or 4-b, or one with auto-terminate off, cannot."
            )
            return self.ask(request, queryset, title="Let it be terminated", warning=warning)
        actor = request.user.get_username()

        def act(instance: Instance) -> str:
            interventions.release_termination(instance=instance, actor=actor)
            return "may be terminated"

        self.on_each(request, queryset, act)
        return None

    @admin.action(description="It no longer exists in EC2 …", permissions=["operate"])
    def confirm_gone(self, request: HttpRequest, queryset: QuerySet[Instance]) -> HttpResponse | None:
        if not is_confirmed(request):
            warning = "Look into EC2 first: nothing is terminated here, and nobody will try to from now on."
            return self.ask(request, queryset, title="It no longer exists", warning=warning)
        actor = request.user.get_username()

        def act(instance: Instance) -> str:
            interventions.confirm_gone(instance=instance, actor=actor)
            return "counts as gone"

        self.on_each(request, queryset, act)
        return None

    @admin.action(description="Terminate …", permissions=["operate"])
    def terminate(self, request: HttpRequest, queryset: QuerySet[Instance]) -> HttpResponse | None:
        if not is_confirmed(request):
            warning = "The agent is told to terminate these instances in EC2. With a primary its workload ends."
            return self.ask(request, queryset, title="Terminate", warning=warning)
        actor = request.user.get_username()
        self.on_each(request, queryset, lambda row: f"is {orders.terminate(instance=row, actor=actor).status}")
        return None


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
    actions = ["promote", "end"]

    def suits(self, action: str, row: Any) -> bool:
        return bool(row.is_active) and (action != "promote" or bool(row.instance_id))

    def describe(self, row: Any) -> str:
        return f"standby {row.instance_id or row.public_id} of {row.agent}, {row.pool_id or 'on-demand'}, {row.status}"

    @admin.action(description="Make it the primary …", permissions=["operate"])
    def promote(self, request: HttpRequest, queryset: QuerySet[Replica]) -> HttpResponse | None:
        if not is_confirmed(request):
            warning = "The workload moves to this standby at once; the instance it runs on now is replaced."
            rows = queryset.select_related("agent")
            return self.ask(request, rows, title="Make it the primary", warning=warning)
        actor = request.user.get_username()

        def act(replica: Replica) -> str:
            return standby_reports.promote(
                agent=replica.agent,
                replica_id=replica.public_id,
                keeps_old=False,
                waits_for_sync=False,
                actor=actor,
            ).message

        self.on_each(request, queryset.select_related("agent"), act)
        return None

    @admin.action(description="End it …", permissions=["operate"])
    def end(self, request: HttpRequest, queryset: QuerySet[Replica]) -> HttpResponse | None:
        if not is_confirmed(request):
            warning = "Its instance is terminated. In manual replica mode another one is launched in its place."
            rows = queryset.select_related("agent")
            return self.ask(request, rows, title="End the standby", warning=warning)
        actor = request.user.get_username()

        def act(replica: Replica) -> str:
            standby_reports.delete(agent=replica.agent, replica_id=replica.public_id, actor=actor)
            return "is being ended"

        self.on_each(request, queryset.select_related("agent"), act)
        return None
