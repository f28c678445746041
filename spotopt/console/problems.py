"""Everything that waits for an operator, worst first. Each kind is a bounded, indexed read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Model, Q
from django.db.models.functions import Coalesce

from agents.models import Agent, Command
from decisions.models import Recommendation
from instances.models import Instance, InterruptionEpisode, Replica
from instances.services.terminations import MAX_ATTEMPTS
from notifications.models import Delivery
from spotopt.common import clock
from spotopt.dashboard.selectors import SHOWN
from spotopt.monitoring.jobs import last_runs, overdue

RECENT = timedelta(days=1)  # failed orders
KEPT = timedelta(days=7)  # messages that could not be delivered
GOING = (Instance.Status.ZOMBIE, Instance.Status.TERMINATING)


@dataclass(frozen=True)
class Press:
    """A button: an action of the console on a row. It is shown to those who may."""

    row: Model
    action: str
    words: str


@dataclass(frozen=True)
class Problem:
    """`about` has the page where it is solved."""

    what: str
    is_bad: bool  # the fleet suffers now; else somebody should look
    about: Model | None
    whose: str = ""
    detail: str = ""
    since: datetime | None = None
    presses: list[Press] = field(default_factory=list)


def problems(*, episodes: list[InterruptionEpisode], silent: list[Agent]) -> list[Problem]:
    """`episodes` and `silent`: open interruptions and agents that are not heard, as the overview lists them."""
    now = clock.now()
    standbys = _standbys({e.agent_id for e in episodes} | {a.pk for a in silent})
    found = [
        *_jobs(),
        *(_interruption(one, standbys.get(one.agent_id), now) for one in episodes),
        *(_silent(one, standbys.get(one.pk)) for one in silent),
        *_terminations(),
        *_orders(now),
        *_recommendations(),
        *_deliveries(now),
    ]
    return sorted(found, key=lambda problem: not problem.is_bad)


def _jobs() -> Iterator[Problem]:
    """Without them nothing is swept, decided or delivered."""
    runs = last_runs()
    late = overdue(runs)
    if late:
        detail = f"{', '.join(late)}. Is spotopt-jobs running? `manage status` tells more"
        last = next((runs[name] for name in late if name in runs), None)
        yield Problem("Background jobs do not run", True, last, "", detail)
    for name, run in runs.items():
        if run.failures and name not in late:
            yield Problem("A background job fails", True, run, "", run.report, run.started_at)


def _standbys(agents: set[int]) -> dict[int, Replica]:
    """By agent: one that could take over, a ready one first."""
    able = Replica.objects.filter(agent__in=agents, status__in=[Replica.Status.READY, Replica.Status.SYNCING])
    rows = able.exclude(instance_id="").order_by("-pk")
    ready_last = sorted(rows, key=lambda row: row.status == Replica.Status.READY)  # so that it stays
    return {row.agent_id: row for row in ready_last}


def _interruption(episode: InterruptionEpisode, standby: Replica | None, now: datetime) -> Problem:
    is_termination = episode.kind == InterruptionEpisode.Kind.TERMINATION
    what = "AWS takes an instance back" if is_termination else "AWS may take an instance back"
    left = int((episode.deadline_at - now).total_seconds()) if episode.deadline_at else None
    details = [episode.instance_id]
    if left is not None:
        details.append(_remaining(left))
    details.append("a standby can take over" if standby else "no standby can take over yet")
    return Problem(
        what=f"Drill: {what}" if episode.is_drill else what,
        is_bad=is_termination and not episode.is_drill,
        about=episode,
        whose=f"{episode.agent} · {episode.client}",
        detail=", ".join(details),
        since=episode.detected_at,
        presses=_take_over(standby) if is_termination else [],
    )


def _remaining(seconds: int) -> str:
    if seconds <= 0:
        return "past its deadline"
    return f"{seconds} s left" if seconds <= 120 else f"{seconds // 60} min left"


def _silent(agent: Agent, standby: Replica | None) -> Problem:
    place = agent.current_pool_id or agent.current_mode
    where = f"{agent.instance_id} in {place}" if agent.instance_id else "no primary"
    removal = [Press(agent, "remove", "Remove the agent …")]
    return Problem(
        what="An agent reports errors" if agent.status == Agent.Status.ERROR else "An agent is silent",
        is_bad=True,
        about=agent,
        whose=f"{agent} · {agent.client}",
        detail=where + (", a standby can take over" if standby else ""),
        since=agent.last_heartbeat_at,
        presses=_take_over(standby) or removal,
    )


def _take_over(standby: Replica | None) -> list[Press]:
    return [Press(standby, "promote", f"Make {standby.instance_id} the primary …")] if standby else []


def _terminations() -> Iterator[Problem]:
    """Instances that cost money and that nobody will end unless an operator says so."""
    stuck = Instance.objects.filter(
        Q(termination_hold=True) | Q(termination_attempts__gte=MAX_ATTEMPTS),
        status__in=GOING,
        agent__isnull=False,
        termination_confirmed=False,
    )
    for one in stuck.select_related("agent", "client").order_by("-pk")[:SHOWN]:
        is_held = one.termination_hold
        yield Problem(
            what="A termination is held until you looked" if is_held else "A termination was given up",
            is_bad=False,
            about=one,
            whose=f"{one.agent} · {one.client}",
            detail=f"{one.instance_id} still runs" + ("" if is_held else f" after {one.termination_attempts} attempts"),
            since=one.zombie_since or one.termination_requested_at,
            presses=[
                Press(one, "release_termination", "Let it be terminated …"),
                Press(one, "confirm_gone", "It is gone from EC2 …"),
            ],
        )


def _orders(now: datetime) -> Iterator[Problem]:
    """Of the last day, unless its agent has, or carried out, a later one for the same purpose. The newest of each."""
    since = now - RECENT
    dead = [Command.Status.FAILED, Command.Status.EXPIRED]
    failed = Command.objects.filter(status__in=dead, completed_at__gte=since).select_related("agent", "client")
    newest: dict[tuple[int, str], Command] = {}
    for command in failed.order_by("-completed_at")[: 4 * SHOWN]:
        newest.setdefault((command.agent_id, command.purpose), command)
    better = Q(status=Command.Status.COMPLETED, completed_at__gte=since) | Q(status__in=Command.OPEN)
    others = Command.objects.filter(better, agent__in={agent for agent, _ in newest}).order_by()
    later = others.values_list("agent_id", "purpose").annotate(at=Max(Coalesce("completed_at", "created_at")))
    solved = {(agent, purpose) for agent, purpose, at in later if at > (_failed_at(newest, agent, purpose) or at)}
    for command in [c for key, c in newest.items() if key not in solved and not c.agent.is_deleted][:SHOWN]:
        is_move = command.purpose == Command.Purpose.SWITCH and bool(command.agent.instance_id)
        failed_word = "failed" if command.status == Command.Status.FAILED else "was never fetched"
        yield Problem(
            what=f"An order {failed_word}",
            is_bad=False,
            about=command,
            whose=f"{command.agent} · {command.client}",
            detail=f"{command.get_command_type_display()}: {command.message or 'no reason given'}"[:200],
            since=command.completed_at,
            presses=[Press(command.agent, "move", "Order a move …")] if is_move else [],
        )


def _failed_at(newest: dict[tuple[int, str], Command], agent: int, purpose: str) -> datetime | None:
    command = newest.get((agent, purpose))
    return command.completed_at if command else None


def _recommendations() -> Iterable[Problem]:
    waiting = Recommendation.objects.pending().select_related("agent", "client").order_by("pk")[:SHOWN]
    return [
        Problem(
            what="A move waits for approval",
            is_bad=False,
            about=one,
            whose=f"{one.agent} · {one.client}",
            detail=f"to {one.target_pool_id or one.target_mode}: {one.reason}"[:200],
            since=one.created_at,
            presses=[Press(one, "approve", "Approve"), Press(one, "reject", "Reject")],
        )
        for one in waiting
    ]


def _deliveries(now: datetime) -> Iterable[Problem]:
    failed = Delivery.objects.filter(status=Delivery.Status.FAILED, next_attempt_at__gte=now - KEPT)
    rows: Any = failed.select_related("endpoint", "recipient", "notification").order_by("-next_attempt_at")[:SHOWN]
    return [
        Problem(
            what="A message could not be delivered",
            is_bad=False,
            about=one,
            whose=str(one.target),
            detail=f"{one.last_error}: “{one.notification.message[:80]}”",
            since=one.created_at,
            presses=[Press(one, "retry", "Try again")],
        )
        for one in rows
    ]
