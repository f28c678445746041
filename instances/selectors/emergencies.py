"""What is going on about an agent's interruptions (agent-api 3.14, 3.18)."""

from datetime import timedelta
from typing import Any

from agents.models import Agent
from instances.models import Instance, InterruptionEpisode, Pool, Replica
from spotopt.common import clock

Kind = InterruptionEpisode.Kind


def risk_of(*, agent: Agent, instance_id: str) -> dict[str, Any]:
    """The reply to a recommendation: interruptions of the pool in 30 days ÷ 30, at most 1; v4 only logs it."""
    agent.refresh_from_db(fields=["notice_status", "notice_deadline"])
    instance = Instance.objects.filter(agent=agent, instance_id=instance_id).first()
    pool_id = instance.pool_id if instance else agent.current_pool_id
    since = clock.now() - timedelta(days=30)
    seen = InterruptionEpisode.objects.filter(
        pool_id=pool_id, detected_at__gt=since, kind=Kind.TERMINATION, is_drill=False
    )
    risk = min(1.0, seen.count() / 30) if pool_id else 0.0
    others = Pool.objects.filter(instance_type=agent.instance_type, region=agent.region, is_active=True, price__gt=0)
    other = others.exclude(az=agent.az).order_by("price", "id").first()
    replica = Replica.objects.active().filter(agent=agent).order_by("-id").first()
    is_primary = bool(instance and instance.is_primary)
    answer = {
        "action": "monitor",
        "risk_score": round(risk, 4),
        "reason": "The risk is within the agent's threshold",
        "notice_status": agent.notice_status,
        "notice_deadline": clock.isoformat(agent.notice_deadline),
        "replica_id": replica.public_id if replica else None,
        "replica_status": replica.status if replica else None,
        "emergency_replica_id": replica.public_id if replica else None,
    }
    if not is_primary or risk <= agent.risk_threshold or other is None:
        return answer
    return answer | {
        "action": "switch",
        "reason": f"Pool {pool_id} was interrupted {seen.count()} times in 30 days",
        "target_mode": "spot",
        "target_pool_id": other.pool_id,
        "target_pool_name": other.display_name,
    }


def emergency_status_of(agent: Agent) -> dict[str, Any]:
    """Three statements. The dashboard's keys stand in `data` (dashboard-api 2.8)."""
    last = InterruptionEpisode.objects.filter(agent=agent).order_by("-detected_at", "-id").first()
    replica = Replica.objects.active().filter(agent=agent).order_by("id").first()
    day_ago = clock.now() - timedelta(days=1)
    notices = InterruptionEpisode.objects.filter(agent=agent, kind=Kind.TERMINATION, detected_at__gt=day_ago)
    status = {
        "notice_status": agent.notice_status,
        "notice_received_at": clock.isoformat(agent.notice_received_at),
        "notice_deadline": clock.isoformat(agent.notice_deadline),
    }
    return status | {
        "status": "success",
        "agent_id": agent.public_id,
        "emergency_mode_active": bool(last and last.status in InterruptionEpisode.OPEN),
        "rebalance_only_mode": agent.manual_replica_enabled,
        "ml_models_loaded": False,
        "decision_engine_active": agent.auto_switch_enabled,
        "last_emergency_event": _event(last),
        "emergency_replicas_count": agent.replica_count,
        "termination_notices_24h": notices.count(),
        "emergency_replica": {"id": replica.public_id, "status": replica.status, "pool_id": replica.pool_id or None}
        if replica
        else None,
        "data": status | {"emergency_replica": _for_alert(replica), "actions": _actions(last)},
    }


def _event(episode: InterruptionEpisode | None) -> dict[str, Any] | None:
    if episode is None:
        return None
    return {
        "timestamp": clock.isoformat(episode.detected_at),
        "type": episode.kind,
        "action_taken": episode.response,
        "outcome": episode.status,
    }


def _for_alert(replica: Replica | None) -> dict[str, Any] | None:
    if replica is None:
        return None
    progress = float(replica.state_transfer_progress)
    return {"status": replica.status, "pool_id": replica.pool_id or None, "sync_progress": progress}


def _actions(episode: InterruptionEpisode | None) -> list[dict[str, Any]]:
    """What was done about the latest signal, in order."""
    if episode is None:
        return []
    replica = episode.replica
    steps = [
        ("Signal received", episode.detected_at),
        ("Standby requested", replica.created_at if replica else None),
        ("Standby launched", replica.launched_at if replica else None),
        ("Standby ready", replica.ready_at if replica else None),
        ("Standby promoted", episode.promoted_at),
    ]
    return [{"description": text, "time": f"{at:%Y-%m-%d %H:%M:%S}"} for text, at in steps if at]
