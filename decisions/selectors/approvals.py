"""Moves that wait, or waited, for a person, and what becomes of decisions."""

from typing import Any

from agents.models import Agent
from clients.models import Client
from decisions.models import Recommendation
from spotopt.common import clock


def recommendation_rows(*, client: Client | None, status: str, limit: int) -> list[dict[str, Any]]:
    """Newest first, of one client or of all; an unknown status is no filter (dashboard-api 1.5). One statement."""
    found = Recommendation.objects.select_related("client", "agent").order_by("-id")
    if client:
        found = found.filter(client=client)
    if status in Recommendation.Status.values:
        found = found.filter(status=status)
    return [as_row(one) for one in found[:limit]]


def as_row(one: Recommendation) -> dict[str, Any]:
    """Needs client and agent joined."""
    return {
        "id": one.public_id,
        "client_id": one.client.public_id,
        "agent_id": one.agent.public_id,
        "agent_name": one.agent.logical_agent_id,
        "status": one.status,
        "current_mode": one.current_mode,
        "current_pool_id": one.current_pool_id or None,
        "target_mode": one.target_mode,
        "target_pool_id": one.target_pool_id or None,
        "expected_savings": None if one.expected_savings is None else float(one.expected_savings),
        "reason": one.reason,
        "decision_id": one.decision_id,
        "created_at": clock.isoformat(one.created_at),
        "expires_at": clock.isoformat(one.expires_at),
        "decided_at": clock.isoformat(one.decided_at),
        "decided_by": one.decided_by or None,
        "note": one.note or None,
        "command_id": one.command_id or None,
    }


def decision_modes(*, client: Client) -> dict[str, Any]:
    """The client's mode and its living agents'. One statement."""
    agents = Agent.objects.living().filter(client=client).select_related("client").order_by("logical_agent_id", "id")
    return {
        "client_id": client.public_id,
        "decision_mode": client.decision_mode,
        "agents": [
            {
                "agent_id": agent.public_id,
                "agent_name": agent.logical_agent_id,
                "decision_mode": agent.decision_mode or None,
                "auto_switch_enabled": agent.auto_switch_enabled,
                "acting_mode": agent.acting_mode.value,
            }
            for agent in agents
        ],
    }
