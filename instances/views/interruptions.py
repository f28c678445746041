"""Timelines of interruptions, and how good signals and failovers were."""

from datetime import timedelta

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from agents.views import SharedAgentViewSet
from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from instances.models import InterruptionEpisode
from instances.selectors.timelines import as_rows, summary
from instances.serializers.answers import InterruptionOut, InterruptionSummaryOut
from spotopt.common import clock

EPISODES = InterruptionEpisode.objects.select_related("agent", "replica").order_by("-detected_at", "-id")
DEFAULT_ROWS, MOST_ROWS = 50, 500
DEFAULT_DAYS, MOST_DAYS = 30, 365
LIMIT = OpenApiParameter("limit", int, default=DEFAULT_ROWS, description=f"1 to {MOST_ROWS}.")


class AgentInterruptionViewSet(SharedAgentViewSet):
    @extend_schema(
        summary="An agent's interruptions, newest first", parameters=[LIMIT], responses=InterruptionOut(many=True)
    )
    def list(self, request: ApiRequest, agent_id: str) -> Response:
        limit = _clamped(request, "limit", DEFAULT_ROWS, MOST_ROWS)
        return Response(as_rows(EPISODES.filter(agent=self.agent)[:limit]))


class ClientInterruptionViewSet(viewsets.GenericViewSet[InterruptionEpisode]):
    queryset = EPISODES
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="A client's interruptions, newest first", parameters=[LIMIT], responses=InterruptionOut(many=True)
    )
    def list(self, request: ApiRequest, client_id: str) -> Response:
        limit = _clamped(request, "limit", DEFAULT_ROWS, MOST_ROWS)
        return Response(as_rows(self.get_queryset().filter(client__public_id=client_id)[:limit]))

    @extend_schema(
        summary="How good a client's failovers and signals were",
        parameters=[OpenApiParameter("days", int, default=DEFAULT_DAYS, description=f"1 to {MOST_DAYS}.")],
        responses=InterruptionSummaryOut,
    )
    def summary(self, request: ApiRequest, client_id: str) -> Response:
        since = clock.now() - timedelta(days=_clamped(request, "days", DEFAULT_DAYS, MOST_DAYS))
        own = InterruptionEpisode.objects.filter(client__public_id=client_id)
        return Response(summary(episodes=own, since=since))


def _clamped(request: ApiRequest, name: str, default: int, most: int) -> int:
    given = request.query_params.get(name, "")
    return min(max(int(given), 1), most) if given.isdecimal() else default
