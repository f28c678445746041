"""What happened in an interruption, when, and how good the signals and the failovers are (design 2.7)."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from instances.models import Instance, InterruptionEpisode
from spotopt.common import clock

Kind = InterruptionEpisode.Kind
FOLLOWS_WITHIN = timedelta(hours=2)  # a recommendation counts as right when the notice comes by then
MOST_EPISODES = 20_000  # the newest ones; enough for a 99th percentile

Step = tuple[str, datetime | None]


def with_ends(episodes: Sequence[InterruptionEpisode]) -> list[tuple[InterruptionEpisode, datetime | None]]:
    """Each with the time its machine was gone; one statement for all."""
    ended = {
        (agent_id, instance_id): at
        for agent_id, instance_id, at in Instance.objects.filter(
            agent__in={e.agent_id for e in episodes}, instance_id__in={e.instance_id for e in episodes}
        ).values_list("agent_id", "instance_id", "terminated_at")
    }
    return [(episode, ended.get((episode.agent_id, episode.instance_id))) for episode in episodes]


def steps_of(episode: InterruptionEpisode, gone_at: datetime | None) -> list[dict[str, Any]]:
    """The six steps in order; `at` and `seconds` (since the signal) are null for what has not happened."""
    replica = episode.replica
    steps: list[Step] = [
        ("notice_received", episode.detected_at),
        ("replica_requested", replica.created_at if replica else None),
        ("replica_launched", replica.launched_at if replica else None),
        ("replica_ready", replica.ready_at if replica else None),
        ("promoted", episode.promoted_at),
        ("old_one_gone", gone_at),
    ]
    return [
        {
            "step": name,
            "at": clock.isoformat(at),
            "seconds": round((at - episode.detected_at).total_seconds(), 3) if at else None,
        }
        for name, at in steps
    ]


def as_rows(episodes: Iterable[InterruptionEpisode]) -> list[dict[str, Any]]:
    """Needs `agent` and `replica` joined."""
    return [
        {
            "id": episode.public_id,
            "agent_id": episode.agent.public_id,
            "instance_id": episode.instance_id,
            "kind": episode.kind,
            "status": episode.status,
            "response": episode.response,
            "is_drill": episode.is_drill,
            "pool_id": episode.pool_id or None,
            "reports": episode.reports,
            "deadline": clock.isoformat(episode.deadline_at),
            "before_deadline": _before_deadline(episode),
            "error": episode.error_message or None,
            "timeline": steps_of(episode, gone_at),
        }
        for episode, gone_at in with_ends(list(episodes))
    ]


def summary(*, episodes: QuerySet[InterruptionEpisode], since: datetime) -> dict[str, Any]:
    """Failovers of the period, and each signal's precision and recall per pool; null where nothing was seen."""
    recent = list(episodes.filter(detected_at__gte=since).order_by("-detected_at", "-id")[:MOST_EPISODES])
    return {
        "since": clock.isoformat(since),
        "failovers": failover_figures([e for e in recent if not e.is_drill]),
        "drills": failover_figures([e for e in recent if e.is_drill]),
        "signals": signal_quality([e for e in recent if not e.is_drill]),
    }


def failover_figures(episodes: list[InterruptionEpisode]) -> dict[str, Any]:
    """Of the termination notices that are over: how many ended on a standby, in time, and how fast."""
    notices = [e for e in episodes if e.kind == Kind.TERMINATION and e.status not in InterruptionEpisode.OPEN]
    took = sorted((e.promoted_at - e.detected_at).total_seconds() for e in notices if e.promoted_at)
    in_time = sum(bool(_before_deadline(e)) for e in notices)
    return {
        "notices": len(notices),
        "promoted": len(took),
        "before_deadline": in_time,
        "before_deadline_share": round(in_time / len(notices), 4) if notices else None,
        "notice_to_promoted_seconds": {"p50": percentile(took, 50), "p99": percentile(took, 99)},
    }


def signal_quality(episodes: list[InterruptionEpisode]) -> list[dict[str, Any]]:
    """Precision = recommendations that a notice followed; recall = notices that a recommendation preceded."""
    by_machine: defaultdict[tuple[int, str], list[InterruptionEpisode]] = defaultdict(list)
    for episode in episodes:
        by_machine[episode.agent_id, episode.instance_id].append(episode)
    counts: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(("said", "right", "ended", "told"), 0))
    for signals in by_machine.values():
        said = [e for e in signals if e.kind == Kind.REBALANCE]
        ended = [e for e in signals if e.kind == Kind.TERMINATION]
        for episode in said:
            counts[episode.pool_id]["said"] += 1
            counts[episode.pool_id]["right"] += any(_announced(episode, e) for e in ended)
        for episode in ended:
            counts[episode.pool_id]["ended"] += 1
            counts[episode.pool_id]["told"] += any(_announced(e, episode) for e in said)
    return [
        {
            "pool_id": pool_id or None,
            "rebalance_recommendations": c["said"],
            "termination_notices": c["ended"],
            "precision": round(c["right"] / c["said"], 4) if c["said"] else None,
            "recall": round(c["told"] / c["ended"], 4) if c["ended"] else None,
        }
        for pool_id, c in sorted(counts.items())
    ]


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Nearest rank of ascending values; None without any."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _announced(rebalance: InterruptionEpisode, termination: InterruptionEpisode) -> bool:
    return timedelta(0) <= termination.detected_at - rebalance.detected_at <= FOLLOWS_WITHIN


def _before_deadline(episode: InterruptionEpisode) -> bool | None:
    """None while it is open, or without a deadline to compare with."""
    if episode.deadline_at is None or episode.status in InterruptionEpisode.OPEN:
        return None
    return episode.promoted_at is not None and episode.promoted_at <= episode.deadline_at
