"""Standbys as agents and the dashboard read them (agent-api 3.20, dashboard-api 2.4)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from agents.models import Agent
from instances.models import Instance, Replica
from instances.services.terminations import RETRY_AFTER
from spotopt.common import clock

Status = Replica.Status


def to_terminate(*, agent: Agent, at: datetime) -> QuerySet[Replica]:
    """`status=terminated`, as v4 reads it: "terminate these". Real ids, unconfirmed, never a primary (3.20)."""
    serving = Instance.objects.filter(client_id=agent.client_id, status=Instance.Status.PRIMARY).values("instance_id")
    return (
        Replica.objects.filter(
            Q(termination_attempted_at=None) | Q(termination_attempted_at__lt=at - RETRY_AFTER),
            agent=agent,
            status__in=[Status.TERMINATED, Status.FAILED],
            termination_confirmed=False,
        )
        .exclude(instance_id="")
        .exclude(instance_id__in=serving)
        .order_by("id")
    )


def item_of(replica: Replica, *, at: datetime) -> dict[str, Any]:
    """Flat and nested pool fields both: with a flat pool id v4 reads the flat zone only (3.20)."""
    age = at - replica.created_at
    return {
        "id": replica.public_id,
        "instance_id": replica.instance_id or None,
        "instanceId": replica.instance_id or None,
        "parent_instance_id": replica.parent_instance_id or None,
        "type": replica.replica_type,
        "status": replica.status,
        "is_active": replica.is_active,
        "pool_id": replica.pool_id or None,
        "az": replica.az or None,
        "pool": pool_of(replica),
        "sync_status": replica.sync_status,
        "sync_latency_ms": replica.sync_latency_ms,
        "state_transfer_progress": float(replica.state_transfer_progress),
        "cost": {"hourly": _number(replica.hourly_cost), "total": _number(_cost_so_far(replica, at))},
        "created_by": replica.created_by,
        "created_at": clock.isoformat(replica.created_at),
        "ready_at": clock.isoformat(replica.ready_at),
        "terminated_at": clock.isoformat(replica.terminated_at),
        "age_seconds": int(age.total_seconds()),
        "tags": replica.tags,
    }


def pool_of(replica: Replica) -> dict[str, Any] | None:
    if not replica.pool_id:
        return None
    return {
        "id": replica.pool_id,
        "name": f"{replica.instance_type} ({replica.az})",
        "instance_type": replica.instance_type,
        "region": replica.region,
        "az": replica.az,
    }


def pairs_of(replicas: Iterable[Replica], *, at: datetime) -> list[dict[str, Any]]:
    """The dashboard's list: each active standby beside its primary (dashboard-api 2.4)."""
    return [
        {
            "agentId": r.agent.public_id,
            "primary": {
                "instanceId": r.agent.instance_id or None,
                "instanceType": r.agent.instance_type or None,
                "region": r.agent.region or None,
                "az": r.agent.az or None,
                "mode": r.agent.current_mode,
            },
            "replica": item_of(r, at=at),
        }
        for r in replicas
    ]


def _cost_so_far(replica: Replica, at: datetime) -> Decimal | None:
    """By the price of its request; what was really paid stands in the ledger."""
    if replica.hourly_cost is None or replica.launched_at is None:
        return None
    running = (replica.terminated_at or at) - replica.launched_at
    return replica.hourly_cost * Decimal(max(running, timedelta()).total_seconds()) / 3600


def _number(value: Decimal | None) -> float | None:
    return None if value is None else round(float(value), 6)
