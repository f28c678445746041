from django.urls import path

from decisions.views.agent_decisions import AgentDecisionViewSet
from decisions.views.approvals import (
    AdminWaitingMoveViewSet,
    DecisionModeViewSet,
    ShadowSavingsViewSet,
    WaitingMoveViewSet,
)
from decisions.views.models import EngineUploadViewSet, ModelSessionViewSet, ModelUploadViewSet
from decisions.views.recommendations import DecideViewSet, RecommendationViewSet

AGENT = "api/agents/<str:agent_id>"
CLIENT = "api/client/<client:client_id>"
WAITING = "api/client/recommendations/<str:recommendation_id>"

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
    path("api/admin/recommendations", AdminWaitingMoveViewSet.as_view({"get": "list"})),
    path(f"{WAITING}/approve", WaitingMoveViewSet.as_view({"post": "approve"})),
    path(f"{WAITING}/reject", WaitingMoveViewSet.as_view({"post": "reject"})),
    path(f"{CLIENT}/recommendations", WaitingMoveViewSet.as_view({"get": "list"})),
    path(f"{CLIENT}/decision-mode", DecisionModeViewSet.as_view({"get": "retrieve", "put": "update"})),
    path(f"{CLIENT}/shadow-savings", ShadowSavingsViewSet.as_view({"get": "retrieve"})),
]
