"""Agents: what an operator sets, and the orders for a whole workload."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from agents.models import Agent
from instances.errors import AgentUnavailable
from instances.models import Instance, Pool
from instances.services import orders
from instances.services.agent_settings import configure, set_enabled
from instances.services.departures import remove_agent
from instances.services.drills import start_drill
from instances.services.orders import Target
from instances.services.roles import primary_of
from spotopt.common.admin import OpsAdmin, Related, is_confirmed
from spotopt.common.fields import Mode

OF_AGENT = ["=agent__public_id", "=agent__logical_agent_id"]
MOST_POOLS = 200  # to choose from
DRILL = (
    "As if AWS took the primary back in two minutes: the workload really moves to a standby, which is launched if "
    "there is none. It is marked as a drill and never counted as an interruption."
)


class MoveForm(forms.Form):
    """Where to. The pools are those of the agent, if all selected have the same type and region."""

    CHEAPEST, ONDEMAND = "cheapest", "ondemand"
    AS_SET, ENDED, LEFT = "", "true", "false"

    target = forms.ChoiceField(label="To")
    old = forms.ChoiceField(
        label="The old instance",
        required=False,
        choices=[(AS_SET, "as the agent's settings say"), (ENDED, "is terminated"), (LEFT, "is left running")],
    )

    def __init__(self, *args: Any, agents: list[Agent], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = {(agent.instance_type, agent.region) for agent in agents}
        pools = Pool.objects.none()
        if len(places) == 1:
            ((instance_type, region),) = places
            pools = Pool.objects.filter(instance_type=instance_type, region=region, is_active=True)
        named = [
            (pool.pool_id, f"{pool.pool_id}: {'price unknown' if pool.price is None else f'{pool.price:.4f} USD/h'}")
            for pool in pools.order_by("price", "pool_id")[:MOST_POOLS]
        ]
        target: Any = self.fields["target"]
        target.choices = [(self.CHEAPEST, "the cheapest other pool"), (self.ONDEMAND, "on-demand"), *named]

    @property
    def wanted(self) -> Target:
        target = self.cleaned_data["target"]
        if target == self.ONDEMAND:
            return Target(Mode.ONDEMAND)
        return Target(Mode.SPOT, "" if target == self.CHEAPEST else target)

    @property
    def auto_terminate(self) -> bool | None:
        return {self.ENDED: True, self.LEFT: False}.get(self.cleaned_data["old"])


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
    list_filter = ["status", "protocol", "current_mode", "notice_status", "decision_mode", "enabled"]
    list_select_related = ["client"]
    search_fields = [
        "logical_agent_id__startswith",
        "=public_id",
        "=instance_id",
        "hostname__startswith",
        "=region",
        "=client__public_id",
        "=client__name",
    ]
    ordering = ["-last_heartbeat_at", "-id"]
    actions = ["move", "rehearse_interruption", "enable", "disable", "remove"]
    related = (
        Related("Instances", "instances.instance", "agent__id__exact"),
        Related("Standbys", "instances.replica", "agent__id__exact"),
        Related("Orders", "agents.command", "agent__id__exact"),
        Related("Interruptions", "instances.interruptionepisode", "agent__id__exact"),
        Related("Moves", "instances.switch", "agent__id__exact"),
        Related("Decisions", "decisions.decisionrecord", "agent__id__exact"),
        Related("Events", "notifications.systemevent", "agent_id", "public_id"),
    )

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

    def suits(self, action: str, row: Agent) -> bool:
        if row.is_deleted or (action == "enable" and row.enabled) or (action == "disable" and not row.enabled):
            return False
        return action not in ("move", "rehearse_interruption") or bool(row.instance_id)

    @admin.action(description="Move the workload …", permissions=["operate"])
    def move(self, request: HttpRequest, queryset: QuerySet[Agent]) -> HttpResponse | None:
        agents = list(queryset.select_related("client"))
        form = MoveForm(request.POST if is_confirmed(request) else None, agents=agents)
        if not form.is_bound or not form.is_valid():
            warning = "A person's order goes past auto-switch and the engine's limits. It replaces a move that waits."
            return self.ask(request, queryset, title="Order the move", warning=warning, form=form)
        actor, target, ends_old = request.user.get_username(), form.wanted, form.auto_terminate

        def act(agent: Agent) -> str:
            instance = primary_of(agent)
            if instance is None:
                raise AgentUnavailable("There is no primary to move")
            command = orders.force_switch(instance=instance, target=target, actor=actor, auto_terminate=ends_old)
            return f"the move to {command.target_pool_id or command.target_mode} was ordered"

        self.on_each(request, agents, act)
        return None

    @admin.action(description="Rehearse an interruption …", permissions=["operate"])
    def rehearse_interruption(self, request: HttpRequest, queryset: QuerySet[Agent]) -> HttpResponse | None:
        if not is_confirmed(request):
            return self.ask(request, queryset, title="Rehearse the interruption", warning=DRILL)
        self.on_each(request, queryset.select_related("client"), lambda agent: start_drill(agent=agent).outcome.message)
        return None

    @admin.action(description="Enable", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._set_enabled(request, queryset, enabled=True)

    @admin.action(description="Disable: no more orders", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._set_enabled(request, queryset, enabled=False)

    def _set_enabled(self, request: HttpRequest, queryset: QuerySet[Agent], *, enabled: bool) -> None:
        def act(agent: Agent) -> str:
            set_enabled(agent=agent, enabled=enabled, actor=request.user.get_username())
            return "enabled" if enabled else "disabled"

        self.on_each(request, queryset, act)

    @admin.action(description="Remove …", permissions=["operate"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Agent]) -> HttpResponse | None:
        if not is_confirmed(request):
            warning = (
                "The agent's history stays. Its EC2 instances go on running until somebody terminates them in EC2, and "
                "a v4 agent that still runs uninstalls itself."
            )
            return self.ask(request, queryset, title="Remove", warning=warning)

        def act(agent: Agent) -> str:
            remove_agent(agent=agent, actor=request.user.get_username())
            return "removed"

        self.on_each(request, queryset, act)
        return None


def primary_agent(instance: Instance) -> Agent:
    """Raises AgentUnavailable unless it serves."""
    if instance.agent is None or not instance.is_primary:
        raise AgentUnavailable("It is no primary")
    return instance.agent
