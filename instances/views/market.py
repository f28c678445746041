"""What instances could run on, what that costs and costed, and all instances for operators (dashboard-api 2.2–2.6)."""

from datetime import timedelta

from django.conf import settings
from django_filters.utils import translate_validation
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from agents.errors import AgentNotFound
from agents.models import Agent
from clients.permissions import IsOperator, IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client
from instances.filters import AdminInstanceFilter
from instances.models import Instance
from instances.selectors import listing
from instances.selectors.charts import INTERVALS, price_history, pricing_history
from instances.selectors.listing import find_instance
from instances.selectors.logs import log_of
from instances.selectors.market import options_of, pricing_of
from instances.selectors.pools import pool_statistics
from instances.selectors.simulation import simulate_switch
from instances.selectors.volatility import pool_volatility
from instances.serializers.market import (
    AdminInstancesOut,
    LogEntryOut,
    OptionsOut,
    PoolStatisticsOut,
    PriceHistoryOut,
    PricingHistoryOut,
    PricingOut,
    SimulationIn,
    SimulationOut,
    VolatilityOut,
)
from spotopt.common.errors import Invalid
from spotopt.common.params import whole_number

MOST_ROWS = 500
MOST_COUNTED = 50_000  # the total is for people; counting on would only be slow
DEFAULT_DAYS, MOST_DAYS = 7, 90
MOST_HOURS = 24 * MOST_DAYS
DEFAULT_LOG, MOST_LOG = 100, 1000

INSTANCE_ID = OpenApiParameter("instance_id", str, OpenApiParameter.PATH, description="EC2's id.")
INTERVAL = OpenApiParameter("interval", str, enum=list(INTERVALS), default="hour")
DAYS = OpenApiParameter("days", int, default=DEFAULT_DAYS, description=f"1 to {MOST_DAYS}.")


class AdminInstanceViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(
        summary="The instances of all clients, newest first",
        parameters=[
            OpenApiParameter("status", str, enum=["active", "terminated"]),
            OpenApiParameter("mode", str, enum=["spot", "ondemand"]),
            OpenApiParameter("search", str, description="Part of id, type, client name, region or zone."),
            OpenApiParameter("region", str),
            OpenApiParameter("client_id", str),
            OpenApiParameter("limit", int, default=MOST_ROWS, description=f"1 to {MOST_ROWS}."),
            OpenApiParameter("offset", int, default=0),
        ],
        responses=AdminInstancesOut,
    )
    def list(self, request: ApiRequest) -> Response:
        filters = AdminInstanceFilter(request.query_params, queryset=Instance.objects.order_by("-created_at", "-id"))
        if not filters.is_valid():
            raise translate_validation(filters.errors)
        limit = whole_number(request, "limit", default=MOST_ROWS, most=MOST_ROWS)
        offset = whole_number(request, "offset", default=0, least=0, most=MOST_COUNTED)
        rows = listing.as_admin_rows(filters.qs[offset : offset + limit])
        if len(rows) < limit and (rows or not offset):  # the last page tells by itself
            total, is_exact = offset + len(rows), True
        else:
            total = listing.count_up_to(filters.qs, MOST_COUNTED)
            is_exact = total < MOST_COUNTED
        return Response({"instances": rows, "total": total, "totalIsExact": is_exact, "filters": filters.wanted})


class InstanceMarketViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]
    looking_actions = ("simulate_switch",)

    @extend_schema(summary="What an instance could run on", parameters=[INSTANCE_ID], responses=PricingOut)
    def pricing(self, request: ApiRequest, instance_id: str) -> Response:
        """Its pools with their prices, cheapest first, and on-demand."""
        return Response(pricing_of(find_instance(who=request.user, instance_id=instance_id)))

    @extend_schema(
        summary="Prices around an instance over time",
        parameters=[
            INSTANCE_ID,
            DAYS,
            INTERVAL,
            OpenApiParameter("hours", int, description=f"Instead of days: 1 to {MOST_HOURS}."),
        ],
        responses=PriceHistoryOut,
    )
    def price_history(self, request: ApiRequest, instance_id: str) -> Response:
        instance = find_instance(who=request.user, instance_id=instance_id)
        days = whole_number(request, "days", default=DEFAULT_DAYS, most=MOST_DAYS)
        hours = whole_number(request, "hours", default=24 * days, most=MOST_HOURS)
        return Response(price_history(instance, window=timedelta(hours=hours), interval=_interval(request)))

    @extend_schema(summary="Pools and types to choose from", parameters=[INSTANCE_ID], responses=OptionsOut)
    def available_options(self, request: ApiRequest, instance_id: str) -> Response:
        return Response(options_of(find_instance(who=request.user, instance_id=instance_id)))

    @extend_schema(
        summary="What happened to an instance, newest first",
        parameters=[INSTANCE_ID, OpenApiParameter("limit", int, default=DEFAULT_LOG, description=f"1 to {MOST_LOG}.")],
        responses=LogEntryOut(many=True),
    )
    def logs(self, request: ApiRequest, instance_id: str) -> Response:
        """Its events, and its moves as `switch_initiated` where it was left and `switch_target` where it took over."""
        instance = find_instance(who=request.user, instance_id=instance_id)
        return Response(log_of(instance, limit=whole_number(request, "limit", default=DEFAULT_LOG, most=MOST_LOG)))

    @extend_schema(summary="How steady the pools are", parameters=[INSTANCE_ID], responses=VolatilityOut)
    def pool_volatility(self, request: ApiRequest, instance_id: str) -> Response:
        """Of the pool it runs in and of the cheapest others."""
        return Response(pool_volatility(find_instance(who=request.user, instance_id=instance_id)))

    @extend_schema(
        summary="What a move would save", parameters=[INSTANCE_ID], request=SimulationIn, responses=SimulationOut
    )
    def simulate_switch(self, request: ApiRequest, instance_id: str) -> Response:
        """Nothing is ordered. 422 `PRICE_UNKNOWN` while the target has no price."""
        body = SimulationIn(data=request.data)
        body.is_valid(raise_exception=True)
        mode, pool_id = body.target()
        instance = find_instance(who=request.user, instance_id=instance_id)
        return Response({"simulation": simulate_switch(instance=instance, mode=mode, pool_id=pool_id)})


class MarketViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="Prices of an agent's pools over time",
        parameters=[
            DAYS,
            INTERVAL,
            OpenApiParameter("agent_id", str, description="Default: the online agent that was heard last."),
            OpenApiParameter("client_id", str, description="Whose agent; operators must say it."),
            OpenApiParameter("instance_type", str, description="Instead of the agent's."),
            OpenApiParameter("region", str, description="Instead of the agent's."),
        ],
        responses=PricingHistoryOut,
    )
    def pricing_history(self, request: ApiRequest) -> Response:
        agent = _agent_asked_for(request)
        given = request.query_params
        instance_type = given.get("instance_type") or (agent.instance_type if agent else "")
        region = given.get("region") or (agent.region if agent else "")
        most = min(MOST_DAYS, settings.PRICE_RETENTION_DAYS)
        days = whole_number(request, "days", default=min(DEFAULT_DAYS, most), most=most)
        rows = pricing_history(
            instance_type=instance_type, region=region, window=timedelta(days=days), interval=_interval(request)
        )
        return Response(
            {
                "history": rows,
                "days": days,
                "data_points": len(rows),
                "agent_id": agent.public_id if agent else None,
                "instance_type": instance_type or None,
                "region": region or None,
            }
        )


class PoolStatisticsViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(summary="Pools by region and instance type", responses=PoolStatisticsOut)
    def retrieve(self, request: ApiRequest) -> Response:
        return Response(pool_statistics())


def _interval(request: ApiRequest) -> str:
    given = request.query_params.get("interval", "")
    return given if given in INTERVALS else "hour"


def _agent_asked_for(request: ApiRequest) -> Agent | None:
    """None where nothing depends on an agent: type and region are both given. Raises AgentNotFound, Invalid."""
    given = request.query_params
    client = request.user.client
    if client is None:
        if given.get("client_id") in (None, "", "all"):
            raise Invalid("Say whose prices: client_id", details={"client_id": ["This parameter is required."]})
        client = get_client(public_id=given["client_id"])
    agents = Agent.objects.filter(client=client)
    if given.get("agent_id"):
        agent = agents.filter(public_id=given["agent_id"]).first()
    else:
        agent = agents.filter(status=Agent.Status.ONLINE).order_by("-last_heartbeat_at", "-id").first()
    if agent is None and (given.get("agent_id") or not (given.get("instance_type") and given.get("region"))):
        raise AgentNotFound
    return agent
