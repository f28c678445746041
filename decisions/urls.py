from django.urls import path

from decisions.views.agent_decisions import AgentDecisionViewSet
from decisions.views.models import EngineUploadViewSet, ModelSessionViewSet, ModelUploadViewSet
from decisions.views.recommendations import DecideViewSet, RecommendationViewSet

AGENT = "api/agents/<str:agent_id>"

urlpatterns = [
    path(f"{AGENT}/decide", DecideViewSet.as_view({"post": "decide"})),
    path(f"{AGENT}/switch-recommendation", RecommendationViewSet.as_view({"get": "retrieve"})),
    path(f"{AGENT}/issue-switch-command", RecommendationViewSet.as_view({"post": "issue"})),
    path("api/admin/decision-engine/upload", EngineUploadViewSet.as_view({"post": "create"})),
    path("api/admin/ml-models/upload", ModelUploadViewSet.as_view({"post": "create"})),
    path("api/admin/ml-models/activate", ModelSessionViewSet.as_view({"post": "activate"})),
    path("api/admin/ml-models/fallback", ModelSessionViewSet.as_view({"post": "fall_back"})),
    path("api/admin/ml-models/sessions", ModelSessionViewSet.as_view({"get": "list"})),
    path("api/client/<client:client_id>/agents/decisions", AgentDecisionViewSet.as_view({"get": "list"})),
]
