from django.urls import path

from analytics.views.accounts import AccountViewSet
from analytics.views.clients import ClientFiguresViewSet
from analytics.views.exports import ClientExportViewSet, GlobalExportViewSet
from analytics.views.instances import InstanceMetricsViewSet
from analytics.views.statistics import AgentStatisticsViewSet
from analytics.views.system import SystemViewSet

CLIENT = "api/client/<client:client_id>"

urlpatterns = [
    path("api/admin/stats", AccountViewSet.as_view({"get": "stats"})),
    path("api/admin/clients", AccountViewSet.as_view({"get": "list"})),
    path("api/admin/clients/growth", AccountViewSet.as_view({"get": "growth"})),
    path("api/admin/system-health", SystemViewSet.as_view({"get": "health"})),
    path("api/admin/export/global-stats", GlobalExportViewSet.as_view({"get": "global_stats"})),
    path(CLIENT, ClientFiguresViewSet.as_view({"get": "retrieve"})),
    path(f"{CLIENT}/savings", ClientFiguresViewSet.as_view({"get": "savings"})),
    path(f"{CLIENT}/stats/charts", ClientFiguresViewSet.as_view({"get": "charts"})),
    path(f"{CLIENT}/switch-history", ClientFiguresViewSet.as_view({"get": "switch_history"})),
    path(f"{CLIENT}/analytics/downtime", ClientFiguresViewSet.as_view({"get": "downtime"})),
    path(f"{CLIENT}/export/savings", ClientExportViewSet.as_view({"get": "savings"})),
    path(f"{CLIENT}/export/switch-history", ClientExportViewSet.as_view({"get": "switch_history"})),
    path("api/client/instances/<str:instance_id>/metrics", InstanceMetricsViewSet.as_view({"get": "retrieve"})),
    path("api/agents/<str:agent_id>/statistics", AgentStatisticsViewSet.as_view({"get": "retrieve"})),
    path("api/client/agents/<str:agent_id>/statistics", AgentStatisticsViewSet.as_view({"get": "retrieve"})),
]
