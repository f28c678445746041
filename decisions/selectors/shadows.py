"""What following the recommendations would have saved, from the bills that `roll_up_shadows` keeps by day."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum

from agents.models import Agent
from clients.models import Client
from decisions.models import Shadow, ShadowDay
from spotopt.common import clock

Sums = dict[str, Decimal]
AMOUNTS = ("seconds", "priced_seconds", "real_usd", "shadow_usd")
NOTHING: Sums = dict.fromkeys(AMOUNTS, Decimal(0))


def shadow_savings(*, client: Client, days: int) -> dict[str, Any]:
    """Of the last `days` UTC days, today included. Two statements, over a row per agent and day."""
    first = _first_of(days)
    rows = ShadowDay.objects.filter(client=client, day__gte=first).order_by().values_list("agent_id")
    summed = rows.annotate(**{f"{name}_sum": Sum(name) for name in AMOUNTS})
    by_agent: dict[int, Sums] = {pk: dict(zip(AMOUNTS, sums, strict=True)) for pk, *sums in summed}
    agents = Agent.objects.filter(client=client, shadow__isnull=False).select_related("client", "shadow")
    listed = [agent for agent in agents.order_by("logical_agent_id", "id") if _is_shown(agent, by_agent)]
    total = {name: sum((sums[name] for sums in by_agent.values()), Decimal(0)) for name in AMOUNTS}
    return {
        "client_id": client.public_id,
        "days": days,
        "from_day": first.isoformat(),
        **bills(total),
        "agents": [_agent_row(agent) | bills(by_agent.get(agent.pk, NOTHING)) for agent in listed],
    }


def with_sums(shadows: QuerySet[Shadow], *, days: int) -> QuerySet[Shadow]:
    """Each with its sums of the last `days`, for `bills_of`."""
    mine = ShadowDay.objects.filter(agent=OuterRef("agent"), day__gte=_first_of(days)).order_by().values("agent")
    return shadows.annotate(
        **{f"{name}_sum": Subquery(mine.annotate(total=Sum(name)).values("total")) for name in AMOUNTS}
    )


def bills_of(shadow: Shadow) -> dict[str, float | None]:
    return bills({name: getattr(shadow, f"{name}_sum") or Decimal(0) for name in AMOUNTS})


def bills(sums: Sums) -> dict[str, float | None]:
    """Money is that of the priced hours; null where there are none."""
    is_known = sums["priced_seconds"] > 0
    real, shadow = (float(sums[name]) if is_known else None for name in ("real_usd", "shadow_usd"))
    return {
        "hours": round(float(sums["seconds"]) / 3600, 3),
        "priced_hours": round(float(sums["priced_seconds"]) / 3600, 3),
        "real_usd": None if real is None else round(real, 6),
        "shadow_usd": None if shadow is None else round(shadow, 6),
        "would_have_saved_usd": None if real is None or shadow is None else round(real - shadow, 6),
    }


def _first_of(days: int) -> date:
    return clock.now().date() - timedelta(days=days - 1)


def _is_shown(agent: Agent, with_bills: Iterable[int]) -> bool:
    return agent.pk in with_bills or (agent.shadow.ended_at is None and not agent.is_deleted)


def _agent_row(agent: Agent) -> dict[str, Any]:
    shadow = agent.shadow
    return {
        "agent_id": agent.public_id,
        "agent_name": agent.logical_agent_id,
        "acting_mode": agent.acting_mode.value,
        "current_mode": agent.current_mode,
        "current_pool_id": agent.current_pool_id or None,
        "shadow_mode": shadow.mode,
        "shadow_pool_id": shadow.pool_id or None,
        "started_at": clock.isoformat(shadow.started_at),
        "ended_at": clock.isoformat(shadow.ended_at),
    }
