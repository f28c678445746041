"""Agents as people see them: a client's list and history, the operators' list and health (dashboard-api 2.2, 2.5)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from agents.errors import AgentNotFound
from agents.models import Agent
from agents.selectors import wait_minutes
from clients.models import Client
from clients.principals import Principal
from instances.models import Instance
from spotopt.common import clock

Status = Agent.Status
NO_POOL = "n/a"  # dashboard-api 1.9
HEALTHY, DEGRADED = timedelta(minutes=5), timedelta(minutes=15)  # age of the last heartbeat (2.2)
MOST_OFFLINE = 5
NEWEST_HEARTBEAT = ("-last_heartbeat_at", "-id")  # nulls are the smallest on every engine of ours, so they come last


def find_agent(*, who: Principal, agent_id: str) -> Agent:
    """Also a deleted one. Raises AgentNotFound, for another tenant's as well."""
    agent = Agent.objects.for_principal(who).filter(public_id=agent_id).first()
    if agent is None:
        raise AgentNotFound
    return agent


def client_agents(*, client: Client) -> QuerySet[Agent]:
    """Living ones with `instance_count`, the number of their active instances."""
    active = Instance.objects.active().filter(agent=OuterRef("pk")).order_by().values("agent")
    count = Coalesce(Subquery(active.annotate(number=Count("pk")).values("number")), Value(0))
    return Agent.objects.living().filter(client=client).annotate(instance_count=count).order_by(*NEWEST_HEARTBEAT)


def as_client_rows(agents: Iterable[Agent]) -> list[dict[str, Any]]:
    """Of `client_agents`."""
    return [
        _identity(agent)
        | {
            "lastHeartbeat": clock.isoformat(agent.last_heartbeat_at),
            "instanceCount": agent.instance_count,  # type: ignore[attr-defined]
            "enabled": agent.enabled,
            "autoSwitchEnabled": agent.auto_switch_enabled,
            "manualReplicaEnabled": agent.manual_replica_enabled,
            "autoTerminateEnabled": agent.auto_terminate_enabled,
            "terminateWaitMinutes": wait_minutes(agent),
            "emergencyProtection": agent.emergency_protection,
            "agentVersion": agent.agent_version or None,
            "version": agent.agent_version or None,
            "configVersion": agent.config_version,
            "auto_switch_enabled": agent.auto_switch_enabled,
            "auto_terminate_enabled": agent.auto_terminate_enabled,
        }
        for agent in agents
    ]


def agent_history(*, client: Client) -> QuerySet[Agent]:
    """Deleted ones included: online, offline, deleted, others; then the newest heartbeat first."""
    rank = Case(
        *(
            When(status=status, then=Value(n))
            for n, status in enumerate([Status.ONLINE, Status.OFFLINE, Status.DELETED])
        ),
        default=Value(3),
        output_field=IntegerField(),
    )
    ended = Instance.objects.filter(agent=OuterRef("pk"), terminated_at__isnull=False).order_by("-terminated_at")
    agents = Agent.objects.filter(client=client).annotate(instance_ended_at=Subquery(ended.values("terminated_at")[:1]))
    return agents.order_by(rank, *NEWEST_HEARTBEAT)


def as_history_rows(agents: Iterable[Agent]) -> list[dict[str, Any]]:
    """Of `agent_history`."""
    return [
        _identity(agent)
        | {
            "enabled": agent.enabled,
            "autoSwitchEnabled": agent.auto_switch_enabled,
            "manualReplicaEnabled": agent.manual_replica_enabled,
            "lastHeartbeat": clock.isoformat(agent.last_heartbeat_at),
            "createdAt": clock.isoformat(agent.created_at),
            "installedAt": clock.isoformat(agent.installed_at),
            "updatedAt": clock.isoformat(_last_known_at(agent)),
            "deletedAt": clock.isoformat(agent.deleted_at),
            "terminatedAt": clock.isoformat(agent.deleted_at or _instance_ended_at(agent)),
        }
        for agent in agents
    ]


def as_admin_rows(agents: Iterable[Agent]) -> list[dict[str, Any]]:
    """Needs the client joined. Names differ from the client's list where the contract's do."""
    return [
        _identity(agent)
        | {
            "clientId": agent.client.public_id,
            "clientName": agent.client.name,
            "lastHeartbeatAt": clock.isoformat(agent.last_heartbeat_at),
            "version": agent.agent_version or None,
            "enabled": agent.enabled,
            "autoSwitchEnabled": agent.auto_switch_enabled,
            "createdAt": clock.isoformat(agent.created_at),
        }
        for agent in agents
    ]


def health_summary() -> dict[str, Any]:
    """Four statements: counts by client, the clients, the deleted, and the few that went offline last."""
    now = clock.now()
    groups = _by_client(now)
    deleted = Agent.objects.filter(status=Status.DELETED).count()
    total = sum(group["total"] for group in groups)
    healthy, degraded = (sum(group[name] for group in groups) for name in ("healthy", "degraded"))
    return {
        "total_agents": total,
        "total": total,
        "online": sum(group["online"] for group in groups),
        "offline": sum(group["offline"] for group in groups),
        "deleted": deleted,
        "by_client": [
            {name: group[name] for name in ("client_id", "client_name", "online", "offline", "total")}
            for group in groups
        ],
        "recent_offline": _recent_offline(now),
        "heartbeat_distribution": {
            "healthy": healthy,
            "degraded": degraded,
            "critical": total - healthy - degraded,
        },
    }


def heartbeat_health(heard_at: datetime | None, *, at: datetime) -> str:
    """healthy < 5 min, degraded < 15 min, critical otherwise or never (dashboard-api 2.2)."""
    if heard_at is None or at - heard_at >= DEGRADED:
        return "critical"
    return "healthy" if at - heard_at < HEALTHY else "degraded"


def _by_client(now: datetime) -> list[dict[str, Any]]:
    counts = {
        "total": Q(),
        "online": Q(status=Status.ONLINE),
        "offline": Q(status=Status.OFFLINE),
        "healthy": Q(last_heartbeat_at__gt=now - HEALTHY),
        "degraded": Q(last_heartbeat_at__gt=now - DEGRADED, last_heartbeat_at__lte=now - HEALTHY),
    }
    numbers = {name: Count("pk", filter=condition) for name, condition in counts.items()}
    groups = Agent.objects.living().order_by().values(client_key=F("client_id")).annotate(**numbers)
    by_key = {group["client_key"]: group for group in groups}
    names = Client.objects.filter(pk__in=list(by_key)).order_by("name", "id").values_list("pk", "public_id", "name")
    return [by_key[key] | {"client_id": public_id, "client_name": name} for key, public_id, name in names]


def _recent_offline(now: datetime) -> list[dict[str, Any]]:
    offline = Agent.objects.filter(status=Status.OFFLINE).select_related("client").order_by(*NEWEST_HEARTBEAT)
    return [
        {
            "agent_id": agent.public_id,
            "hostname": agent.hostname or None,
            "client_name": agent.client.name,
            "last_heartbeat": clock.isoformat(agent.last_heartbeat_at),
            "offline_duration_minutes": _minutes(now - agent.last_heartbeat_at) if agent.last_heartbeat_at else None,
        }
        for agent in offline[:MOST_OFFLINE]
    ]


def _identity(agent: Agent) -> dict[str, Any]:
    return {
        "id": agent.public_id,
        "logicalAgentId": agent.logical_agent_id,
        "status": agent.status,
        "hostname": agent.hostname or None,
        "instanceId": agent.instance_id or None,
        "instanceType": agent.instance_type or None,
        "region": agent.region or None,
        "az": agent.az or None,
        "currentMode": agent.current_mode,
        "currentPoolId": agent.current_pool_id or NO_POOL,
    }


def _last_known_at(agent: Agent) -> datetime:
    times = (agent.created_at, agent.last_heartbeat_at, agent.last_switch_at, agent.deleted_at)
    return max(at for at in times if at)


def _instance_ended_at(agent: Agent) -> datetime | None:
    """Of the instance it had; while it has one, that one runs."""
    ended: datetime | None = agent.instance_ended_at  # type: ignore[attr-defined]
    return None if agent.instance_id else ended


def _minutes(duration: timedelta) -> int:
    return max(0, int(duration.total_seconds() // 60))
