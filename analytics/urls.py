from django.urls import path

from analytics.views import AgentStatisticsViewSet

urlpatterns = [
    path("api/agents/<str:agent_id>/statistics", AgentStatisticsViewSet.as_view({"get": "retrieve"})),
    path("api/client/agents/<str:agent_id>/statistics", AgentStatisticsViewSet.as_view({"get": "retrieve"})),
]
