"""Section 6 of dashboard-api as data: each address, who may call it, and the shape of what it answers."""

from dataclasses import dataclass
from typing import Any

from tests.contract.shapes import Day, Null, Number, OneOf, Time

PUBLIC, ADMIN, CLIENT, OBJECT, OWN = "public", "admin", "client", "object", "own"
# CLIENT: `{client_id}` in the path, another tenant's is 403. OBJECT: another tenant's does not exist.
# OWN: no id in the path, everybody sees his own.

MODE = OneOf("spot", "ondemand", "unknown")
SEVERITY = OneOf("info", "success", "warning", "error")
INSTANCE_STATUS = OneOf(
    "launching", "running_primary", "running_replica", "promoting", "terminating", "terminated", "zombie"
)  # fmt: skip
AGENT_STATUS = OneOf("online", "offline", "switching", "deleted", "disabled", "error")


@dataclass(frozen=True)
class Row:
    method: str
    path: str
    who: str
    shape: Any = None  # None: no JSON (a stream or CSV)
    body: dict[str, Any] | None = None
    status: int = 200

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


SUCCESS = {"success": OneOf(True)}
POOL = {"id": str, "name": str, "az": str}
STATS = {
    "totalAccounts": int,
    "agentsOnline": int,
    "agentsTotal": int,
    "poolsCovered": int,
    "totalSavings": Number,
    "totalSwitches": int,
    "manualSwitches": int,
    "modelSwitches": int,
    "backendHealth": str,
    "decisionEngineLoaded": bool,
    "mlModelsLoaded": bool,
}
CLIENT_ROW = {
    "id": str,
    "name": str,
    "status": OneOf("active", "inactive"),
    "instances": int,
    "agentsOnline": int,
    "agentsTotal": int,
    "totalSavings": Number,
    "lastSync": Null(Time),
    "email": Null(str),
    "createdAt": Time,
}
GROWTH = [{"date": Day, "count": int, "total": int, "new": int, "active": int}]
CREATED = SUCCESS | {
    "client": {
        "id": str, "name": str, "token": str, "status": OneOf("active"), "email": Null(str), "created_at": Time,
    }
}  # fmt: skip
ADMIN_INSTANCE = {
    "id": str,
    "instanceId": str,
    "clientId": str,
    "clientName": str,
    "instanceType": Null(str),
    "region": Null(str),
    "az": Null(str),
    "currentMode": MODE,
    "spotPrice": Null(Number),
    "ondemandPrice": Null(Number),
    "currentPoolId": Null(str),
    "agentId": Null(str),
    "logicalAgentId": Null(str),
    "agentStatus": Null(AGENT_STATUS),
    "isActive": bool,
    "installedAt": Null(Time),
    "createdAt": Time,
    "instanceStatus": INSTANCE_STATUS,
    "isPrimary": bool,
    "currentPrice": Null(Number),
    "marketSpotPrice": Null(Number),
    "onDemandPrice": Null(Number),
}
ADMIN_AGENT = {
    "id": str,
    "clientName": str,
    "status": AGENT_STATUS,
    "hostname": Null(str),
    "instanceId": Null(str),
    "lastHeartbeatAt": Null(Time),
    "version": Null(str),
    "clientId": str,
    "logicalAgentId": Null(str),
    "instanceType": Null(str),
    "region": Null(str),
    "az": Null(str),
    "currentMode": MODE,
    "currentPoolId": Null(str),
    "enabled": bool,
    "autoSwitchEnabled": bool,
    "createdAt": Time,
}
ACTIVITY = [
    {
        "id": (str, int),
        "type": OneOf("switch", "agent", "event"),
        "text": str,
        "time": Time,
        "severity": SEVERITY,
        "eventType": str,
        "clientId": Null(str),
        "agentId": Null(str),
        "instanceId": Null(str),
    }
]
FILE = {"name": str, "size": int, "modified": Time}
SYSTEM_HEALTH = {
    "apiStatus": OneOf("Healthy"),
    "database": OneOf("Connected", "Disconnected"),
    "decisionEngine": OneOf("Loaded", "Not Loaded"),
    "connectionPool": str,
    "timestamp": Time,
    "decisionEngineStatus": {
        "loaded": bool, "type": Null(str), "version": Null(str), "filesUploaded": int, "files": [FILE],
    },
    "modelStatus": {
        "loaded": bool,
        "filesUploaded": int,
        "activeModels": [{"name": str, "version": str, "active": bool}],
        "name": Null(str),
        "version": Null(str),
        "files": list,
    },
}  # fmt: skip
CLIENT_HIT = {"id": str, "name": str, "email": Null(str), "status": str, "matchField": str}
INSTANCE_HIT = {
    "id": str, "name": str, "client": str, "clientId": str, "clientName": str,
    "instanceType": Null(str), "region": Null(str), "az": Null(str), "status": INSTANCE_STATUS,
}  # fmt: skip
AGENT_HIT = {
    "id": str, "name": str, "client": str, "clientId": str, "clientName": str,
    "hostname": Null(str), "status": AGENT_STATUS, "instanceId": Null(str),
}  # fmt: skip
HITS = {"clients": [CLIENT_HIT], "instances": [INSTANCE_HIT], "agents": [AGENT_HIT]}
SEARCH = HITS | {"query": str, "results": HITS, "total_results": int}
POOL_STATISTICS = {
    "total_pools": int, "active_pools": int, "inactive_pools": int, "total": int, "active": int,
    "regions": [
        {"region": str, "pools": int, "average_price": Null(Number), "cheapest_price": Null(Number)}
    ],
    "instance_types": [
        {"instance_type": str, "pools_available": int, "avg_spot_price": Null(Number), "ondemand_price": Null(Number)}
    ],
}  # fmt: skip
HEALTH_SUMMARY = {
    "total_agents": int, "total": int, "online": int, "offline": int, "deleted": int,
    "by_client": [{"client_id": str, "client_name": str, "online": int, "offline": int, "total": int}],
    "recent_offline": [
        {
            "agent_id": str, "hostname": Null(str), "client_name": str,
            "last_heartbeat": Null(Time), "offline_duration_minutes": Null(Number),
        }
    ],
    "heartbeat_distribution": {"healthy": int, "degraded": int, "critical": int},
}  # fmt: skip
SESSIONS = [
    {
        "id": str, "session_id": str, "isLive": bool, "isFallback": bool, "fileCount": int, "files": [str],
        "status": OneOf("uploaded", "active", "fallback", "archived"), "totalSize": int,
        "createdAt": Time, "activatedAt": Null(Time),
    }
]  # fmt: skip
BULK = {
    "operation": str, "total": int, "succeeded": int, "failed": int,
    "results": [{"agent_id": str, "status": OneOf("success", "failed")}],
}  # fmt: skip
CLIENT_DETAILS = CLIENT_ROW | {"instancesTerminated": int, "agentsOffline": int}
CLIENT_AGENT = {
    "id": str,
    "status": AGENT_STATUS,
    "lastHeartbeat": Null(Time),
    "instanceCount": int,
    "enabled": bool,
    "autoSwitchEnabled": bool,
    "manualReplicaEnabled": bool,
    "autoTerminateEnabled": bool,
    "terminateWaitMinutes": int,
    "logicalAgentId": Null(str),
    "instanceId": Null(str),
    "instanceType": Null(str),
    "region": Null(str),
    "az": Null(str),
    "currentMode": MODE,
    "agentVersion": Null(str),
    "hostname": Null(str),
    "currentPoolId": Null(str),
    "version": Null(str),
    "configVersion": int,
    "auto_switch_enabled": bool,
    "auto_terminate_enabled": bool,
}
PRICE_REPORT = {"time": Time, "onDemandPrice": Number, "spotPrice": Number}
DECISION = {
    "agentId": str,
    "agentName": str,
    "status": AGENT_STATUS,
    "currentMode": MODE,
    "currentPoolId": Null(str),
    "isHealthy": bool,
    "lastHeartbeat": Null(str),
    "lastDecision": {
        "type": Null(OneOf("stay", "switch_spot", "switch_ondemand")),
        "time": Null(Time),
        "elapsed": Null({"value": Number, "unit": OneOf("min", "h", "d"), "minutes": int, "formatted": str}),
    },
    "pricingHealth": {
        "status": OneOf("healthy", "unhealthy"), "recentReportsCount": int, "recentReports": [PRICE_REPORT],
    },
    "decisionHistory": [{"type": Null(str), "action": str, "currentMode": Null(MODE), "time": Time}],
    "recentActivity": {
        "pricingReports": list,
        "systemEvents": [{"type": str, "severity": SEVERITY, "message": str, "time": Time}],
        "healthStatus": {
            "overall": str, "heartbeat": str, "activity": str, "recentReportsCount": int, "decisionCount": int,
        },
    },
}  # fmt: skip
AGENT_HISTORY = {
    "id": str,
    "logicalAgentId": Null(str),
    "status": AGENT_STATUS,
    "instanceId": Null(str),
    "instanceType": Null(str),
    "region": Null(str),
    "az": Null(str),
    "createdAt": Time,
    "lastHeartbeat": Null(Time),
    "terminatedAt": Null(Time),
    "autoSwitchEnabled": bool,
    "manualReplicaEnabled": bool,
    "currentMode": MODE,
    "enabled": bool,
    "updatedAt": Null(Time),
    "installedAt": Null(Time),
    "deletedAt": Null(Time),
    "hostname": Null(str),
}
CONFIGURED = SUCCESS | {
    "auto_switch_enabled": bool, "manual_replica_enabled": bool, "auto_terminate_enabled": bool,
    "terminate_wait_minutes": int, "config_version": int,
}  # fmt: skip
CLIENT_INSTANCE = {
    "id": str,
    "type": Null(str),
    "instanceType": Null(str),
    "az": Null(str),
    "region": Null(str),
    "mode": MODE,
    "poolId": str,
    "spotPrice": Null(Number),
    "onDemandPrice": Null(Number),
    "instanceStatus": INSTANCE_STATUS,
    "isPrimary": bool,
    "lastSwitch": Null(Time),
    "isActive": bool,
    "currentPrice": Null(Number),
    "marketSpotPrice": Null(Number),
    "agentId": Null(str),
    "createdAt": Time,
    "terminatedAt": Null(Time),
    "launchDurationSeconds": Null(Number),
}
PRICING = {
    "currentMode": MODE,
    "currentPool": Null(POOL),
    "onDemand": {"name": str, "price": Number, "known": bool},
    "pools": [POOL | {"price": Number, "savings": Number, "stale": bool, "capturedAt": Time}],
    "unpricedPools": [POOL],
}
METRICS = {
    "uptimeHours": int,
    "totalSwitches": int,
    "switchesLast7Days": int,
    "switchesLast30Days": int,
    "totalSavings": Number,
    "savingsLast30Days": Number,
    "spotPrice": Number,
    "spotPriceKnown": bool,
    "onDemandPrice": Number,
    "id": str,
    "instanceType": Null(str),
    "currentMode": MODE,
    "currentPoolId": Null(str),
    "baselineOnDemandPrice": Null(Number),
    "hoursSinceLastSwitch": Null(Number),
}
PRICE_HISTORY = {
    "data": [{"time": str, "onDemand": Null(Number)}],
    "pools": [POOL | {"key": str}],
    "onDemandPrice": Null(Number),
}
AVAILABLE_POOL = {"id": str, "az": str, "instanceType": str, "price": Null(Number)}
OPTIONS = {
    "currentType": Null(str), "currentRegion": Null(str), "currentAz": Null(str), "currentPool": Null(str),
    "availablePools": [AVAILABLE_POOL], "availableTypes": [str], "pools": [AVAILABLE_POOL], "instanceTypes": [str],
}  # fmt: skip
ORDERED = SUCCESS | {"command_id": str, "message": str}
LOGS = [{"timestamp": Time, "event_type": str, "message": str, "severity": SEVERITY, "metadata": dict}]
VOLATILITY_POOL = {
    "pool_id": str,
    "current_price": Null(Number),
    "volatility_score": Null(Number),
    "volatility_category": OneOf("very_low", "low", "medium", "high", "unknown"),
    "interruption_rate_24h": Null(Number),
    "price_stability_7d": OneOf("very_stable", "stable", "moderate", "volatile", "unknown"),
}
VOLATILITY = {
    "current_pool": Null(VOLATILITY_POOL),
    "alternative_pools": [VOLATILITY_POOL | {"recommendation": Null(OneOf("best"))}],
}
SIMULATION = {
    "simulation": {
        "current_price": Null(Number),
        "target_price": Number,
        "hourly_savings": Null(Number),
        "daily_savings": Null(Number),
        "monthly_savings": Null(Number),
        "estimated_downtime_seconds": Null(Number),
        "confidence": Null(Number),
        "volatility_risk": OneOf("low", "medium", "high", "unknown"),
        "interruption_probability_24h": Null(Number),
        "recommendation": Null(OneOf("strongly_recommended", "recommended", "neutral", "not_recommended")),
    }
}
PRICING_HISTORY = {
    "history": [
        {
            "timestamp": str, "ondemand_price": Null(Number),
            "spot_pools": [{"pool_id": str, "az": str, "price": Null(Number)}],
        }
    ],
    "days": int, "data_points": int, "agent_id": Null(str), "instance_type": Null(str), "region": Null(str),
}  # fmt: skip
REPLICA = {
    "id": str,
    "instanceId": Null(str),
    "type": OneOf("manual", "automatic-rebalance", "automatic-termination"),
    "status": OneOf("launching", "syncing", "ready", "promoted", "terminated", "failed"),
    "sync_status": OneOf("initializing", "syncing", "synced", "out-of-sync"),
    "sync_latency_ms": Null(int),
    "state_transfer_progress": Number,
    "pool": Null({"id": str, "name": str, "instance_type": Null(str), "region": Null(str), "az": Null(str)}),
    "cost": {"hourly": Null(Number), "total": Null(Number)},
    "created_by": Null(str),
    "created_at": Null(Time),
    "ready_at": Null(Time),
    "terminated_at": Null(Time),
    "is_active": bool,
}
PRIMARY = {"instanceId": Null(str), "instanceType": Null(str), "region": Null(str), "az": Null(str), "mode": MODE}
REPLICAS = [{"agentId": str, "primary": PRIMARY, "replica": REPLICA}]
SAVINGS = [
    {
        "name": str, "savings": Number, "onDemandCost": Number, "modelCost": Number,
        "year": int, "month": Null(int), "periodStart": Null(str), "priceCoverage": Null(Number),
    }
]  # fmt: skip
SWITCHES = [
    {
        "id": str,
        "timestamp": Time,
        "instanceId": str,
        "oldInstanceId": Null(str),
        "newInstanceId": Null(str),
        "fromMode": MODE,
        "toMode": MODE,
        "fromPool": str,
        "toPool": str,
        "trigger": OneOf("manual", "model", "automatic", "emergency", "unknown"),
        "price": Number,
        "savingsImpact": Number,
        "savingsImpactKnown": bool,
        "agentId": str,
        "downtimeSeconds": Null(Number),
        "success": bool,
        "initiatedAt": Null(Time),
    }
]
CHARTS = {
    "savingsTrend": [{"month": str, "baseline": Number, "actual": Number, "savings": Number}],
    "modeDistribution": [{"mode": MODE, "name": MODE, "count": int}],
    "switchFrequency": [{"date": Day, "switches": int}],
}
DOWNTIME_OLD = {
    "total_downtime_seconds": Number,
    "average_downtime_per_switch": Null(Number),
    "switches_with_downtime": int,
    "switches_without_downtime": int,
    "downtime_by_trigger": dict,
    "longest_downtime": Null({"switch_id": str, "downtime_seconds": Number, "timestamp": Time, "reason": Null(str)}),
}
DOWNTIME = DOWNTIME_OLD | {
    "status": OneOf("success"),
    "error": OneOf(None),
    "data": DOWNTIME_OLD
    | {
        "total_switches": int, "successful_switches": int, "failed_switches": int,
        "avg_downtime_seconds": Null(Number), "p95_downtime_seconds": Null(Number),
        "min_downtime_seconds": Null(Number), "max_downtime_seconds": Null(Number), "trend": Null(Number),
    },
}  # fmt: skip
ALERT = {
    "alert_id": str,
    "alert_type": OneOf("price_above", "price_below", "savings_below"),
    "threshold": Number,
    "threshold_price": Number,
    "enabled": bool,
    "notification_channels": [str],
    "created_at": Time,
    "pool_id": Null(str),
    "last_triggered_at": Null(Time),
}
NOTIFICATION = {
    "id": str,
    "message": str,
    "severity": SEVERITY,
    "isRead": bool,
    "time": Time,
    "clientId": Null(str),
    "type": str,
    "read": bool,
    "timestamp": Time,
    "metadata": dict,
}
EMERGENCY = {
    "agent_id": str,
    "emergency_mode_active": bool,
    "rebalance_only_mode": bool,
    "ml_models_loaded": bool,
    "decision_engine_active": bool,
    "last_emergency_event": Null(dict),
    "emergency_replicas_count": int,
    "termination_notices_24h": int,
    "status": OneOf("success"),
    "data": {
        "notice_status": OneOf("none", "rebalance", "termination"),
        "notice_received_at": Null(Time),
        "notice_deadline": Null(Time),
        "emergency_replica": Null({"status": str, "pool_id": Null(str), "sync_progress": Number}),
        "actions": [{"description": str, "time": str}],
    },
}
HEALTH = {
    "status": OneOf("success"),
    "error": OneOf(None),
    "timestamp": Time,
    "database": OneOf("connected"),
    "decision_engine_loaded": bool,
    "data": {
        "status": OneOf("healthy"), "timestamp": Time, "database": OneOf("connected"),
        "decision_engine_loaded": bool, "version": str, "uptime_seconds": int,
    },
}  # fmt: skip
ROOT_DATA = {"name": str, "version": str, "uptime_seconds": int, "endpoints": dict}
ROOT = ROOT_DATA | {
    "status": OneOf("success"),
    "error": OneOf(None),
    "data": ROOT_DATA | {"status": OneOf("running"), "environment": str},
}

CLIENT_PATH = "/api/client/{client_id}"
INSTANCE_PATH = "/api/client/instances/{instance_id}"
AGENT_PATH = "/api/client/agents/{agent_id}"
REPLICA_PATH = "/api/agents/{agent_id}/replicas/{replica_id}"

TOGGLED = SUCCESS | {"agent_id": str, "enabled": bool}
NEW_ALERT = {"threshold": 0.02, "pool_id": "{pool_id}"}

TABLE = [
    Row("get", "/", PUBLIC, ROOT),
    Row("get", "/health", PUBLIC, HEALTH),
    Row("get", "/api/admin/stats", ADMIN, STATS),
    Row("get", "/api/admin/clients", ADMIN, [CLIENT_ROW]),
    Row("get", "/api/admin/clients/growth?days=30", ADMIN, GROWTH),
    Row("post", "/api/admin/clients/create", ADMIN, CREATED, {"name": "A new one"}),
    Row("delete", "/api/admin/clients/{client_id}", ADMIN, SUCCESS | {"message": str}),
    Row("post", "/api/admin/clients/{client_id}/regenerate-token", ADMIN, SUCCESS | {"token": str, "message": str}),
    Row("get", "/api/admin/clients/{client_id}/token", ADMIN, {"token": str, "client_name": str}),
    Row("get", "/api/admin/instances", ADMIN, {"instances": [ADMIN_INSTANCE], "total": int, "filters": dict}),
    Row("get", "/api/admin/agents", ADMIN, {"agents": [ADMIN_AGENT], "total": int, "filters": dict}),
    Row("get", "/api/admin/activity", ADMIN, ACTIVITY),
    Row("get", "/api/admin/system-health", ADMIN, SYSTEM_HEALTH),
    Row("get", "/api/admin/search?q=tenant", ADMIN, SEARCH),
    Row("get", "/api/search?q=tenant", ADMIN, SEARCH),
    Row("get", "/api/admin/pools/statistics", ADMIN, POOL_STATISTICS),
    Row("get", "/api/admin/pool-statistics", ADMIN, POOL_STATISTICS),
    Row("get", "/api/admin/agents/health-summary", ADMIN, HEALTH_SUMMARY),
    Row("get", "/api/admin/agent-health", ADMIN, HEALTH_SUMMARY),
    Row("get", "/api/admin/ml-models/sessions", ADMIN, SESSIONS),
    Row("get", "/api/admin/export/global-stats", ADMIN),
    Row(
        "post",
        "/api/admin/bulk/execute",
        ADMIN,
        BULK,
        {"operation": "disable_agents", "agent_ids": ["{agent_id}"], "confirm": True},
    ),
    Row("get", CLIENT_PATH, CLIENT, CLIENT_DETAILS),
    Row("get", f"{CLIENT_PATH}/agents", CLIENT, [CLIENT_AGENT]),
    Row("get", f"{CLIENT_PATH}/agents/decisions", CLIENT, [DECISION]),
    Row("get", f"{CLIENT_PATH}/agents/history", CLIENT, [AGENT_HISTORY]),
    Row("delete", AGENT_PATH, OBJECT, SUCCESS | {"message": str, "agent_id": str}),
    Row("post", f"{AGENT_PATH}/toggle-enabled", OBJECT, TOGGLED, {"enabled": False}),
    Row("post", f"{AGENT_PATH}/settings", OBJECT, SUCCESS, {"auto_terminate_enabled": True}),
    Row(
        "post",
        f"{AGENT_PATH}/config",
        OBJECT,
        CONFIGURED,
        {
            "terminateWaitMinutes": 7,
            "autoSwitchEnabled": True,
            "manualReplicaEnabled": False,
            "autoTerminateEnabled": True,
        },
    ),
    Row("get", f"{CLIENT_PATH}/instances?status=active", CLIENT, [CLIENT_INSTANCE]),
    Row("get", f"{INSTANCE_PATH}/pricing", OBJECT, PRICING),
    Row("get", f"{INSTANCE_PATH}/metrics", OBJECT, METRICS),
    Row("get", f"{INSTANCE_PATH}/price-history?days=7&interval=hour", OBJECT, PRICE_HISTORY),
    Row("get", f"{INSTANCE_PATH}/available-options", OBJECT, OPTIONS),
    Row("post", f"{INSTANCE_PATH}/force-switch", OBJECT, ORDERED, {"target": "ondemand"}),
    Row("get", f"{INSTANCE_PATH}/logs", OBJECT, LOGS),
    Row("get", f"{INSTANCE_PATH}/pool-volatility", OBJECT, VOLATILITY),
    Row("post", f"{INSTANCE_PATH}/simulate-switch", OBJECT, SIMULATION, {"target_pool": "{pool_id}"}),
    Row(
        "post",
        "/api/client/instances/launch",
        OBJECT,
        ORDERED | {"instance_id": str, "request_id": str, "status": OneOf("launching")},
        {"agent_id": "{agent_id}"},
        status=201,
    ),
    Row("post", f"{INSTANCE_PATH}/terminate", OBJECT, ORDERED | {"instance_id": str, "status": OneOf("terminating")}),
    Row("get", "/api/client/pricing-history?days=7&agent_id={agent_id}&client_id={client_id}", CLIENT, PRICING_HISTORY),
    Row("get", f"{CLIENT_PATH}/replicas", CLIENT, REPLICAS),
    Row("get", f"{CLIENT_PATH}/savings?range=monthly", CLIENT, SAVINGS),
    Row("get", f"{CLIENT_PATH}/switch-history", CLIENT, SWITCHES),
    Row("get", f"{CLIENT_PATH}/stats/charts", CLIENT, CHARTS),
    Row("get", f"{CLIENT_PATH}/export/savings", CLIENT),
    Row("get", f"{CLIENT_PATH}/export/switch-history", CLIENT),
    Row("get", f"{CLIENT_PATH}/analytics/downtime?days=30", CLIENT, DOWNTIME),
    Row("get", f"{CLIENT_PATH}/pricing-alerts", CLIENT, [ALERT]),
    Row("post", f"{CLIENT_PATH}/pricing-alerts", CLIENT, ALERT, NEW_ALERT, status=201),
    Row("get", "/api/notifications?limit=50", OWN, [NOTIFICATION]),
    Row("post", "/api/notifications/{notification_id}/mark-read", OBJECT, SUCCESS),
    Row("post", "/api/notifications/mark-all-read", OWN, SUCCESS | {"marked_count": int}, {"client_id": None}),
    Row(
        "post",
        f"{REPLICA_PATH}/promote",
        OBJECT,
        SUCCESS | {"message": str, "new_instance_id": str, "old_instance_id": Null(str), "demoted": bool},
        {},
    ),
    Row(
        "delete", REPLICA_PATH, OBJECT, SUCCESS | {"message": str, "replica_id": str, "terminated_at": Time}
    ),
    Row("get", "/api/agents/{agent_id}/emergency-status", OBJECT, EMERGENCY),
    Row("get", "/api/events/stream", OWN),
    Row("get", "/api/events/stream/{client_id}", CLIENT),
    Row("get", "/api/events/stats", ADMIN, {"active_connections": int, "client_ids": [str]}),
]  # fmt: skip

# What these answer when they are granted is told in tests/decisions, where there are models to upload.
MODEL_CALLS = [
    Row("post", "/api/admin/decision-engine/upload", ADMIN),
    Row("post", "/api/admin/ml-models/upload", ADMIN),
    Row("post", "/api/admin/ml-models/activate", ADMIN, body={"sessionId": "no-session"}),
    Row("post", "/api/admin/ml-models/fallback", ADMIN),
]
