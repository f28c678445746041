from django.urls import path

from instances.views.agents import RegistrationViewSet, ReportViewSet
from instances.views.clients import InstanceViewSet
from instances.views.emergencies import EmergencyStatusViewSet, NoticeViewSet
from instances.views.fleet import (
    AdminAgentViewSet,
    AgentSettingsViewSet,
    BulkViewSet,
    ClientAgentViewSet,
    SearchViewSet,
)
from instances.views.interruptions import AgentInterruptionViewSet, ClientInterruptionViewSet
from instances.views.market import (
    AdminInstanceViewSet,
    InstanceMarketViewSet,
    MarketViewSet,
    PoolStatisticsViewSet,
)
from instances.views.pricing_alerts import PricingAlertViewSet
from instances.views.replicas import ClientReplicaViewSet, ReplicaViewSet

AGENT = "api/agents/<str:agent_id>"
INSTANCE = "api/client/instances/<str:instance_id>"

urlpatterns = [
    path("api/agents/register", RegistrationViewSet.as_view({"post": "register"})),
    path("api/agents/uninstall", RegistrationViewSet.as_view({"post": "uninstall"})),
    path(f"{AGENT}/heartbeat", ReportViewSet.as_view({"post": "heartbeat"})),
    path(f"{AGENT}/pricing-report", ReportViewSet.as_view({"post": "pricing_report"})),
    path(f"{AGENT}/pricing", ReportViewSet.as_view({"post": "pricing_report"})),
    path(f"{AGENT}/switch-report", ReportViewSet.as_view({"post": "switch_report"})),
    path(f"{AGENT}/action-result", ReportViewSet.as_view({"post": "action_result"})),
    path(f"{AGENT}/termination", ReportViewSet.as_view({"post": "termination"})),
    path(f"{AGENT}/termination-report", NoticeViewSet.as_view({"post": "termination_report"})),
    path(f"{AGENT}/termination-notice", NoticeViewSet.as_view({"post": "termination_report"})),
    path(f"{AGENT}/termination-imminent", NoticeViewSet.as_view({"post": "termination_imminent"})),
    path(f"{AGENT}/rebalance-recommendation", NoticeViewSet.as_view({"post": "rebalance"})),
    path(f"{AGENT}/rebalance-notice", NoticeViewSet.as_view({"post": "rebalance"})),
    path(f"{AGENT}/create-emergency-replica", NoticeViewSet.as_view({"post": "create_emergency_replica"})),
    path(f"{AGENT}/emergency-status", EmergencyStatusViewSet.as_view({"get": "emergency_status"})),
    path(f"{AGENT}/interruptions", AgentInterruptionViewSet.as_view({"get": "list"})),
    path(f"{AGENT}/replica-config", EmergencyStatusViewSet.as_view({"get": "replica_config"})),
    path(f"{AGENT}/replicas", ReplicaViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{AGENT}/replicas/<str:replica_id>", ReplicaViewSet.as_view({"put": "bind", "delete": "destroy"})),
    path(f"{AGENT}/replicas/<str:replica_id>/promote", ReplicaViewSet.as_view({"post": "promote"})),
    path(f"{AGENT}/replicas/<str:replica_id>/status", ReplicaViewSet.as_view({"post": "status"})),
    path(f"{AGENT}/replicas/<str:replica_id>/sync-status", ReplicaViewSet.as_view({"post": "sync_status"})),
    path(f"{AGENT}/shutdown", ReportViewSet.as_view({"post": "shutdown"})),
    path(f"{AGENT}/instances-to-terminate", ReportViewSet.as_view({"get": "instances_to_terminate"})),
    path(f"{AGENT}/instance-launched", ReportViewSet.as_view({"post": "instance_launched"})),
    path(f"{AGENT}/instance-terminated", ReportViewSet.as_view({"post": "instance_terminated"})),
    path("api/client/instances/launch", InstanceViewSet.as_view({"post": "launch"})),
    path(f"{INSTANCE}/force-switch", InstanceViewSet.as_view({"post": "force_switch"})),
    path(f"{INSTANCE}/terminate", InstanceViewSet.as_view({"post": "terminate"})),
    path(f"{INSTANCE}/pricing", InstanceMarketViewSet.as_view({"get": "pricing"})),
    path(f"{INSTANCE}/price-history", InstanceMarketViewSet.as_view({"get": "price_history"})),
    path(f"{INSTANCE}/available-options", InstanceMarketViewSet.as_view({"get": "available_options"})),
    path(f"{INSTANCE}/logs", InstanceMarketViewSet.as_view({"get": "logs"})),
    path(f"{INSTANCE}/pool-volatility", InstanceMarketViewSet.as_view({"get": "pool_volatility"})),
    path(f"{INSTANCE}/simulate-switch", InstanceMarketViewSet.as_view({"post": "simulate_switch"})),
    path("api/client/pricing-history", MarketViewSet.as_view({"get": "pricing_history"})),
    path("api/admin/instances", AdminInstanceViewSet.as_view({"get": "list"})),
    path("api/admin/pools/statistics", PoolStatisticsViewSet.as_view({"get": "retrieve"})),
    path("api/admin/pool-statistics", PoolStatisticsViewSet.as_view({"get": "retrieve"})),  # as an older page calls it
    path("api/client/agents/<str:agent_id>", AgentSettingsViewSet.as_view({"delete": "destroy"})),
    path("api/client/agents/<str:agent_id>/toggle-enabled", AgentSettingsViewSet.as_view({"post": "toggle_enabled"})),
    path("api/client/agents/<str:agent_id>/settings", AgentSettingsViewSet.as_view({"post": "set_switches"})),
    path("api/client/agents/<str:agent_id>/config", AgentSettingsViewSet.as_view({"post": "config"})),
    path("api/client/<client:client_id>/agents", ClientAgentViewSet.as_view({"get": "list"})),
    path("api/client/<client:client_id>/agents/history", ClientAgentViewSet.as_view({"get": "history"})),
    path("api/admin/agents", AdminAgentViewSet.as_view({"get": "list"})),
    path("api/admin/agents/health-summary", AdminAgentViewSet.as_view({"get": "health_summary"})),
    path("api/admin/agent-health", AdminAgentViewSet.as_view({"get": "health_summary"})),  # as an older page calls it
    path("api/admin/bulk/execute", BulkViewSet.as_view({"post": "execute"})),
    path("api/admin/search", SearchViewSet.as_view({"get": "search"})),
    path("api/search", SearchViewSet.as_view({"get": "search"})),  # as an older page calls it
    path("api/client/<client:client_id>/interruptions", ClientInterruptionViewSet.as_view({"get": "list"})),
    path("api/client/<client:client_id>/interruptions/summary", ClientInterruptionViewSet.as_view({"get": "summary"})),
    path("api/client/<client:client_id>/replicas", ClientReplicaViewSet.as_view({"get": "list"})),
    path("api/client/<client:client_id>/instances", InstanceViewSet.as_view({"get": "list"})),
    path(
        "api/client/<client:client_id>/pricing-alerts", PricingAlertViewSet.as_view({"get": "list", "post": "create"})
    ),
]
