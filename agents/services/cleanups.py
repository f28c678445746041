from datetime import datetime
from typing import Any

from agents.models import Agent, CleanupLog
from notifications.services import emit
from spotopt.common import clock
from spotopt.common.db import retried_transaction


@retried_transaction
def record_cleanup(
    *, agent: Agent, reported_at: datetime | None, snapshots: dict[str, Any], amis: dict[str, Any]
) -> CleanupLog:
    """v4's hourly clean-up (agent-api 3.13); the same report twice is one row."""
    now = clock.now()
    entry, is_new = CleanupLog.objects.get_or_create(
        agent=agent,
        reported_at=reported_at or now,
        defaults={
            "received_at": now,
            "deleted_snapshots": _count(snapshots, "deleted", "snapshots_deleted"),
            "deleted_amis": _count(amis, "deleted_amis", "amis_deleted"),
            "failed_count": _count(snapshots, "failed") + _count(amis, "failed"),
            "details": {"snapshots": snapshots, "amis": amis},
        },
    )
    if is_new:
        Agent.objects.filter(pk=agent.pk).update(last_cleanup_at=now)
        went_wrong = entry.failed_count or snapshots.get("error") or amis.get("error")
        emit(
            event_type="cleanup_completed",
            severity="warning" if went_wrong else "info",
            client=agent.client,
            agent_id=agent.public_id,
            instance_id=agent.instance_id,
            message=f"Clean-up: {entry.deleted_snapshots} snapshots and {entry.deleted_amis} images deleted, "
            f"{entry.failed_count} failed",
        )
    return entry


def _count(block: dict[str, Any], *names: str) -> int:
    """Agents list what they deleted, the documented variant counts it."""
    for name in names:
        value = block.get(name)
        if isinstance(value, list):
            return len(value)
        if isinstance(value, int) and value > 0:
            return value
    return 0
