from typing import Any

from agents.models import Agent
from spotopt.common import clock

_INTEGERS = (
    "terminate_wait_seconds",
    "replica_count",
    "max_switches_per_week",
    "max_switches_per_day",
    "min_pool_duration_hours",
)
_FRACTIONS = ("min_savings_percent", "risk_threshold")
_FLAGS = (
    "enabled",
    "auto_switch_enabled",
    "auto_terminate_enabled",
    "replica_enabled",
    "manual_replica_enabled",
    "emergency_protection",
)


def wait_minutes(agent: Agent) -> int:
    """The wait before the old instance goes, as people see it: whole minutes, at least 1 (dashboard-api 2.5)."""
    return max(1, round(agent.terminate_wait_seconds / 60))


def config_of(agent: Agent) -> dict[str, Any]:
    """What the primary is told (agent-api 3.1, 3.3); needs `with_counts()`. Never null: null disables agents."""
    config: dict[str, Any] = {name: getattr(agent, name) for name in _FLAGS + _INTEGERS}
    config |= {name: float(getattr(agent, name)) for name in _FRACTIONS}
    return config | {
        "terminate_wait_minutes": wait_minutes(agent),
        "config_version": agent.config_version,
        "agent_id": agent.public_id,
    }


def disabled_config(agent: Agent) -> dict[str, Any]:
    """What an instance that is not the primary is told: do nothing, and stay quiet about it (agent-api 1.8, 3.1)."""
    config: dict[str, Any] = dict.fromkeys(_FLAGS, False) | dict.fromkeys(_INTEGERS + _FRACTIONS, 0)
    message = "This instance is not the primary of its agent"
    return config | {"config_version": agent.config_version, "agent_id": agent.public_id, "message": message}


def detail_of(agent: Agent) -> dict[str, Any]:
    """The body of GET /api/agents/{id} (agent-api 3.4)."""
    return config_of(agent) | {
        "id": agent.public_id,
        "logical_agent_id": agent.logical_agent_id,
        "status": agent.status,
        "instance_id": agent.instance_id or None,
        "instance_type": agent.instance_type or None,
        "region": agent.region or None,
        "az": agent.az or None,
        "current_mode": agent.current_mode,
        "current_pool_id": agent.current_pool_id or None,
        "agent_version": agent.agent_version or None,
        "hostname": agent.hostname or None,
        "protocol": agent.protocol or None,
        "last_heartbeat_at": clock.isoformat(agent.last_heartbeat_at),
    }
