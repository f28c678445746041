"""From rows to what the engine takes: one `Situation` per agent, in statements whose number agents do not add to."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from agents.models import Agent
from agents.services.protocol import executes_switches
from decisions.engine import History, Limits, Mode, Placement, Situation, State
from decisions.models import AgentState
from decisions.services.market import Market
from instances.models import InterruptionEpisode, Switch
from spotopt.common.fields import Mode as WireMode

WEEK = timedelta(weeks=1)
RECOVERY = "is_recovery"  # in the metadata of a command


@dataclass(frozen=True)
class Past:
    """An agent's switches of the last week."""

    planned: list[datetime] = field(default_factory=list)
    recoveries: list[datetime] = field(default_factory=list)
    was_forced: bool = False  # the latest one


NOTHING = Past()


def situations_of(
    *, agents: Collection[Agent], states: Mapping[int, AgentState], market: Market, now: datetime
) -> dict[int, Situation]:
    """By agent. Agents come with `with_counts()`; those whose place is not known are left out. Two statements."""
    past = _past(agents, now)
    in_episode = set(
        InterruptionEpisode.objects.filter(open_for__in=[a.pk for a in agents]).values_list("agent_id", flat=True)
    )
    found = {}
    for agent in agents:
        placement = _placement(agent, past.get(agent.pk, NOTHING))
        if placement is None:
            continue
        known = past.get(agent.pk, NOTHING)
        state = states.get(agent.pk)
        found[agent.pk] = Situation(
            now=now,
            placement=placement,
            ondemand_price=market.ondemand.get((agent.instance_type, agent.region)),
            candidates=market.offered_to(agent),
            limits=limits_of(agent),
            history=History(planned=tuple(known.planned), recoveries=tuple(known.recoveries)),
            state=State.from_json(state.state) if state else State(),
            holds=holds_of(agent, in_episode=agent.pk in in_episode),
        )
    return found


def limits_of(agent: Agent) -> Limits:
    return Limits(
        min_savings_percent=float(agent.min_savings_percent),
        risk_threshold=float(agent.risk_threshold),
        max_switches_per_week=agent.max_switches_per_week,
        max_switches_per_day=agent.max_switches_per_day,
        min_pool_duration_hours=float(agent.min_pool_duration_hours),
        price_max_age_seconds=float(settings.PRICE_MAX_AGE),
    )


def holds_of(agent: Agent, *, in_episode: bool) -> tuple[str, ...]:
    """Why nothing may be done now, whatever it would save (agent-api 3.28, 4.3)."""
    reasons = {
        "the agent is disabled": not agent.enabled,
        f"the agent is {agent.status}": agent.enabled and agent.status != Agent.Status.ONLINE,
        "the agent cannot execute switches": not executes_switches(agent),
        "an interruption is being handled": in_episode or agent.notice_status != Agent.Notice.NONE,
        "an order is still open": agent.open_commands > 0,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def _placement(agent: Agent, past: Past) -> Placement | None:
    if agent.current_mode == WireMode.ONDEMAND:
        return Placement(Mode.ONDEMAND, None, agent.last_switch_at, is_fallback=past.was_forced)
    if agent.current_mode == WireMode.SPOT and agent.current_pool_id:
        return Placement(Mode.SPOT, agent.current_pool_id, agent.last_switch_at)
    return None


def _past(agents: Iterable[Agent], now: datetime) -> Mapping[int, Past]:
    switches = Switch.objects.filter(agent__in=[agent.pk for agent in agents], created_at__gt=now - WEEK)
    rows = switches.order_by("created_at", "id").values_list("agent_id", "created_at", "trigger", "command__metadata")
    planned: dict[int, list[datetime]] = defaultdict(list)
    recoveries: dict[int, list[datetime]] = defaultdict(list)
    forced: dict[int, bool] = {}
    for agent_pk, at, trigger, metadata in rows:
        forced[agent_pk] = trigger == Switch.Trigger.EMERGENCY
        if forced[agent_pk]:
            continue
        (recoveries if (metadata or {}).get(RECOVERY) else planned)[agent_pk].append(at)
    return {pk: Past(planned[pk], recoveries[pk], was_forced) for pk, was_forced in forced.items()}
