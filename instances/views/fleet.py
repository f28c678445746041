"""Agents for the people who own and run them, and the operators' search and bulk orders (dashboard-api 2.2, 2.5)."""

from typing import Any

from django_filters.utils import translate_validation
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from agents.models import Agent
from agents.selectors import wait_minutes
from clients.permissions import IsOperator, IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client
from instances.filters import AgentFilter
from instances.selectors import fleet
from instances.selectors.search import KINDS, LONGEST, search
from instances.serializers.fleet import (
    AdminAgentsOut,
    AgentHistoryOut,
    BulkIn,
    BulkOut,
    ClientAgentOut,
    ConfigIn,
    ConfigOut,
    HealthSummaryOut,
    RemovedOut,
    SearchOut,
    SettingsIn,
    SettingsOut,
    ToggledOut,
    ToggleIn,
)
from instances.services import bulk
from instances.services.agent_settings import configure, set_enabled
from instances.services.departures import remove_agent
from instances.services.replicas import LAUNCHERS

MOST_AGENTS = 500
MOST_HISTORY = 5000
CLIENT_ID = OpenApiParameter("client_id", str, OpenApiParameter.PATH)
AGENT_ID = OpenApiParameter("agent_id", str, OpenApiParameter.PATH)


class ClientAgentViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="A client's agents, newest heartbeat first", parameters=[CLIENT_ID], responses=ClientAgentOut(many=True)
    )
    def list(self, request: ApiRequest, client_id: str) -> Response:
        client = get_client(public_id=client_id)
        return Response(fleet.as_client_rows(fleet.client_agents(client=client)))

    @extend_schema(
        summary="A client's agents, deleted ones included",
        parameters=[CLIENT_ID, OpenApiParameter("limit", int, description=f"1 to {MOST_HISTORY}.")],
        responses=AgentHistoryOut(many=True),
    )
    def history(self, request: ApiRequest, client_id: str) -> Response:
        client = get_client(public_id=client_id)
        limit = _limit(request, most=MOST_HISTORY)
        return Response(fleet.as_history_rows(fleet.agent_history(client=client)[:limit]))


class AgentSettingsViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(summary="Enable or disable an agent", parameters=[AGENT_ID], request=ToggleIn, responses=ToggledOut)
    def toggle_enabled(self, request: ApiRequest, agent_id: str) -> Response:
        """A disabled agent goes on heart-beating, and the server gives it no orders."""
        agent = fleet.find_agent(who=request.user, agent_id=agent_id)
        wanted = ToggleIn(data=request.data).settings()
        agent = set_enabled(agent=agent, enabled=wanted["enabled"], actor=request.user.name)
        return Response(_done(agent) | {"enabled": agent.enabled, "config_version": agent.config_version})

    @extend_schema(
        summary="Set an agent's switches (older form)", parameters=[AGENT_ID], request=SettingsIn, responses=SettingsOut
    )
    def set_switches(self, request: ApiRequest, agent_id: str) -> Response:
        agent = fleet.find_agent(who=request.user, agent_id=agent_id)
        wanted = SettingsIn(data=request.data).settings()
        return Response(_settings_of(configure(agent=agent, settings=wanted, actor=request.user.name)))

    @extend_schema(summary="Configure an agent", parameters=[AGENT_ID], request=ConfigIn, responses=ConfigOut)
    def config(self, request: ApiRequest, agent_id: str) -> Response:
        """What is left out stays. The answer holds the settings in effect; keys are also known in snake_case."""
        agent = fleet.find_agent(who=request.user, agent_id=agent_id)
        wanted = ConfigIn(data=request.data).settings()
        agent = configure(agent=agent, settings=wanted, actor=request.user.name)
        answer = _settings_of(agent) | {
            "terminate_wait_minutes": wait_minutes(agent),
            "emergency_protection": agent.emergency_protection,
            "message": "The settings are saved",
        }
        if agent.manual_replica_enabled and agent.protocol and agent.protocol not in LAUNCHERS:
            answer["message"] += ", but this generation of agents cannot launch standbys"
        return Response(answer)

    @extend_schema(summary="Remove an agent", parameters=[AGENT_ID], responses=RemovedOut)
    def destroy(self, request: ApiRequest, agent_id: str) -> Response:
        """Its history stays, and so do its machines."""
        agent = fleet.find_agent(who=request.user, agent_id=agent_id)
        remove_agent(agent=agent, actor=request.user.name)
        message = "The agent was removed. Its EC2 instances go on running until somebody terminates them in EC2"
        return Response(_done(agent) | {"message": message})


class AdminAgentViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(
        summary="The agents of all clients, newest heartbeat first",
        parameters=[
            OpenApiParameter("status", str, enum=Agent.Status.values),
            OpenApiParameter("client_id", str),
            OpenApiParameter("search", str, description="Part of hostname, id, logical id, instance id, client name."),
            OpenApiParameter("include_deleted", bool),
            OpenApiParameter("limit", int, description=f"1 to {MOST_AGENTS}."),
        ],
        responses=AdminAgentsOut,
    )
    def list(self, request: ApiRequest) -> Response:
        agents = Agent.objects.select_related("client").order_by(*fleet.NEWEST_HEARTBEAT)
        filters = AgentFilter(request.query_params, queryset=agents)
        if not filters.is_valid():
            raise translate_validation(filters.errors)
        rows = fleet.as_admin_rows(filters.qs[: _limit(request, most=MOST_AGENTS)])
        return Response({"agents": rows, "total": filters.qs.count(), "filters": filters.wanted})

    @extend_schema(summary="How many agents are heard", responses=HealthSummaryOut)
    def health_summary(self, request: ApiRequest) -> Response:
        return Response(fleet.health_summary())


class BulkViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(summary="One operation on many agents or instances", request=BulkIn, responses=BulkOut)
    def execute(self, request: ApiRequest) -> Response:
        """Each for itself: some may fail, and the answer is 200 all the same."""
        body = BulkIn(data=request.data)
        body.is_valid(raise_exception=True)
        operation = body.validated_data["operation"]
        results = bulk.execute(operation=operation, ids=body.validated_data["ids"], who=request.user)
        failed = sum(bool(result.error) for result in results)
        return Response(
            {
                "operation": operation,
                "total": len(results),
                "succeeded": len(results) - failed,
                "failed": failed,
                "results": [_bulk_row(BulkIn.kind_of(operation), result) for result in results],
            }
        )


class SearchViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(
        summary="Find clients, instances and agents",
        parameters=[
            OpenApiParameter("q", str, description="At least two characters; any part, in any case."),
            OpenApiParameter("types", str, description=f"Comma list of {', '.join(KINDS)}; default all."),
        ],
        responses=SearchOut,
    )
    def search(self, request: ApiRequest) -> Response:
        text = request.query_params.get("q", "").strip()[:LONGEST]
        kinds = {kind.strip().lower() for kind in request.query_params.get("types", "").split(",")} & set(KINDS)
        hits = search(text=text, kinds=kinds or KINDS)
        total = sum(len(found) for found in hits.values())
        found: dict[str, Any] = {"query": text, "results": hits, "total_results": total} | hits
        return Response({"status": "success", "error": None, "data": found} | found)


def _done(agent: Agent) -> dict[str, Any]:
    return {"success": True, "agent_id": agent.public_id}


def _settings_of(agent: Agent) -> dict[str, Any]:
    names = ("auto_switch_enabled", "manual_replica_enabled", "auto_terminate_enabled", "config_version")
    return _done(agent) | {name: getattr(agent, name) for name in names}


def _bulk_row(kind: str, result: bulk.Result) -> dict[str, str]:
    row = {f"{kind}_id": result.id, "status": "failed" if result.error else "success"}
    return row | ({"error": result.error} if result.error else {})


def _limit(request: ApiRequest, *, most: int) -> int:
    """Out of range is clamped, what is no number is ignored (dashboard-api 1.5)."""
    try:
        return min(max(int(request.query_params.get("limit", most)), 1), most)
    except ValueError:
        return most
