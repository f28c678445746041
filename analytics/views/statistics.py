from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from agents.views import SharedAgentViewSet
from analytics.selectors.statistics import statistics_of
from analytics.serializers.statistics import AgentStatisticsOut
from clients.principals import ApiRequest


class AgentStatisticsViewSet(SharedAgentViewSet):
    @extend_schema(summary="An agent's decisions, switches and savings", responses=AgentStatisticsOut)
    def retrieve(self, request: ApiRequest, agent_id: str) -> Response:
        """agent-api 3.31."""
        return Response({"agent_id": self.agent.public_id, "statistics": statistics_of(self.agent)})
