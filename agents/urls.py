from django.urls import path

from agents.views import AgentViewSet, CommandViewSet

urlpatterns = [
    path("api/agents/<str:agent_id>", AgentViewSet.as_view({"get": "retrieve"})),
    path("api/agents/<str:agent_id>/config", AgentViewSet.as_view({"get": "config"})),
    path("api/agents/<str:agent_id>/cleanup-report", AgentViewSet.as_view({"post": "cleanup_report"})),
    path("api/agents/<str:agent_id>/pending-commands", CommandViewSet.as_view({"get": "pending_v4"})),
    path("api/agents/<str:agent_id>/commands/pending", CommandViewSet.as_view({"get": "pending_v5"})),
    path(
        "api/agents/<str:agent_id>/commands/<str:command_id>/executed",
        CommandViewSet.as_view({"post": "executed"}),
    ),
    path("api/agents/<str:agent_id>/mark-command-executed", CommandViewSet.as_view({"post": "mark_executed"})),
]
