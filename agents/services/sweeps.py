from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet

from agents.models import Agent, Command
from agents.services.status import announce
from spotopt.common import clock
from spotopt.common.db import retried_transaction

Status = Agent.Status
WATCHED = (Status.ONLINE, Status.DISABLED, Status.SWITCHING, Status.ERROR)


def mark_silent_agents_offline(*, now: datetime | None = None) -> int:
    """Agents not heard for AGENT_HEARTBEAT_TIMEOUT seconds; a v5 agent that executes an order is mute for longer."""
    now = now or clock.now()
    cutoff = now - timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
    silent = Agent.objects.filter(Q(last_heartbeat_at__lt=cutoff) | Q(last_heartbeat_at=None), status__in=WATCHED)
    return sum(_mark_offline(agent) for agent in _not_busy(silent.select_related("client"), now))


def _not_busy(silent: QuerySet[Agent], now: datetime) -> list[Agent]:
    patience = now - timedelta(seconds=settings.AGENT_BUSY_TIMEOUT)
    agents = list(silent)
    executing = Command.objects.filter(
        agent__in=[a.pk for a in agents], status=Command.Status.DELIVERED, command_type__in=Command.V5_TYPES
    )
    busy = set(executing.values_list("agent_id", flat=True))
    return [a for a in agents if a.pk not in busy or not a.last_heartbeat_at or a.last_heartbeat_at < patience]


@retried_transaction
def _mark_offline(agent: Agent) -> bool:
    """Compare-and-set: a heartbeat or a second sweeper that comes first wins, so each silence is told once."""
    as_seen = Agent.objects.filter(pk=agent.pk, status=agent.status, last_heartbeat_at=agent.last_heartbeat_at)
    if not as_seen.update(status=Status.OFFLINE):
        return False
    announce(agent=agent, old_status=agent.status, new_status=Status.OFFLINE, reason="no heartbeat")
    return True
