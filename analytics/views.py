from rest_framework.response import Response

from agents.views import SharedAgentViewSet
from analytics.selectors.statistics import statistics_of
from clients.principals import ApiRequest


class AgentStatisticsViewSet(SharedAgentViewSet):
    def retrieve(self, request: ApiRequest, agent_id: str) -> Response:
        """agent-api 3.31."""
        return Response({"agent_id": self.agent.public_id, "statistics": statistics_of(self.agent)})
