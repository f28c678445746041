"""What the engine is told of the market: pools with price steps, experience and setbacks, once for a whole round."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf

from agents.models import Agent
from decisions.engine import (
    DEFAULT,
    Candidate,
    Evidence,
    Limits,
    PriceStep,
    Setbacks,
    break_even_hours,
    memory,
    risk_value_hours,
)
from decisions.engine.regret import LONGEST_WINDOW
from decisions.engine.types import NO_SETBACKS
from decisions.models import PoolExperience, SpotAdvice
from decisions.services.predictions import known_predictions, predicted, with_predictions
from instances.models import Instance, InterruptionEpisode, LaunchFailure, OnDemandPrice, Pool
from instances.selectors.prices import Steps, spot_steps

Kind = tuple[str, str]  # (instance type, region)
HOUR = timedelta(hours=1)
SETBACKS_WITHIN = memory.LONGEST_QUARANTINE
USUAL_RISK_VALUE = risk_value_hours(Limits().risk_threshold)  # a pool's setbacks are everybody's, whatever they risk


@dataclass(frozen=True)
class Market:
    candidates: Mapping[Kind, tuple[Candidate, ...]]
    ondemand: Mapping[Kind, float]
    changed_at: Mapping[Kind, datetime]  # the latest change of a spot price of the kind

    def offered_to(self, agent: Agent) -> tuple[Candidate, ...]:
        """v5 launches into its own zone only (agent-api C19); the others reach every zone of their region."""
        candidates = self.candidates.get((agent.instance_type, agent.region), ())
        if agent.protocol != Agent.Protocol.V5:
            return candidates
        return tuple(one for one in candidates if one.pool_id.endswith(f".{agent.az}"))


def load_market(*, kinds: Collection[Kind], now: datetime) -> Market:
    """Eight statements, however many pools. Only list prices count: an agent's estimate is no basis for a move."""
    types = {instance_type for instance_type, _ in kinds}
    pools = [p for p in Pool.objects.filter(instance_type__in=types) if (p.instance_type, p.region) in kinds]
    ids = [pool.pool_id for pool in pools]
    steps = spot_steps(pool_ids=ids, since=now - LONGEST_WINDOW, until=now)
    evidence = _evidence(pools, now)
    listed = OnDemandPrice.objects.filter(instance_type__in=types, is_estimate=False)
    ondemand = {(q.instance_type, q.region): float(q.price) for q in listed}
    interruptions, failures = _interruptions(pools, ondemand, now), _failures(ids, now)
    candidates: dict[Kind, list[Candidate]] = defaultdict(list)
    changed_at: dict[Kind, datetime] = {}
    for pool in sorted(pools, key=lambda one: one.pool_id):
        kind = (pool.instance_type, pool.region)
        candidates[kind].append(
            Candidate(
                pool_id=pool.pool_id,
                region=pool.region,
                prices=_known_steps(steps.get(pool.pool_id, Steps()), now),
                confirmed_at=pool.last_confirmed_at,
                evidence=evidence[pool.pool_id],
                interruptions=interruptions.get(pool.pool_id, NO_SETBACKS),
                failures=failures.get(pool.pool_id, NO_SETBACKS),
                is_offered=pool.is_active,
            )
        )
        if pool.changed_at:
            changed_at[kind] = max(pool.changed_at, changed_at.get(kind, pool.changed_at))
    return Market({kind: tuple(found) for kind, found in candidates.items()}, ondemand, changed_at)


def with_fresh_predictions(market: Market, *, now: datetime) -> Market:
    """Ask the live models, if there are any and it is time (services.predictions)."""
    kinds = {one.pool_id: kind for kind, found in market.candidates.items() for one in found}
    listed = {pool_id: market.ondemand[kind] for pool_id, kind in kinds.items() if kind in market.ondemand}
    everything = [one for found in market.candidates.values() for one in found]
    probabilities = predicted(candidates=everything, ondemand=listed, now=now)
    if probabilities is None:
        return market
    candidates = {
        kind: tuple(with_predictions(one, probabilities) for one in found) for kind, found in market.candidates.items()
    }
    return replace(market, candidates=candidates)


def _known_steps(steps: Steps, now: datetime) -> tuple[PriceStep, ...]:
    """Since the price was last unknown; it ends in the future, where the last quote will have been carried enough."""
    known: list[PriceStep] = []
    for at, value in zip(steps.times, steps.values, strict=True):
        if value is None:
            if at <= now:
                known.clear()
        else:
            known.append(PriceStep(at, float(value)))
    return tuple(known)


def _evidence(pools: Iterable[Pool], now: datetime) -> dict[str, Evidence]:
    """A type that AWS publishes in the region but leaves out is rated worst; where nothing was loaded, unrated."""
    pools = list(pools)
    advice = SpotAdvice.objects.filter(region__in={pool.region for pool in pools})
    buckets = {(one.instance_type, one.region): one.bucket for one in advice}
    pool_ids = [pool.pool_id for pool in pools]
    experience = {one.pool_id: one for one in PoolExperience.objects.filter(pool_id__in=pool_ids)}
    foretold = known_predictions(pool_ids=pool_ids, now=now)
    found = {}
    for pool in pools:
        own, bucket = experience.get(pool.pool_id), buckets.get((pool.instance_type, pool.region))
        told = Evidence(
            bucket=bucket,
            reclaims=own.reclaims if own else 0.0,
            exposure_hours=own.exposure_hours if own else 0.0,
            interruption_probability_24h=foretold.get(pool.pool_id),
        )
        found[pool.pool_id] = memory.faded(told, now - own.as_of) if own else told
    return found


def _interruptions(pools: Iterable[Pool], ondemand: Mapping[Kind, float], now: datetime) -> dict[str, Setbacks]:
    """Real losses only. Those of one wave are one setback: they say once that the pool is short."""
    paid_after = {pool.pool_id: _paid_after(pool, ondemand) for pool in pools}
    episodes = InterruptionEpisode.objects.filter(
        pool_id__in=list(paid_after),
        detected_at__gt=now - SETBACKS_WITHIN,
        is_drill=False,
        kind=InterruptionEpisode.Kind.TERMINATION,
    ).order_by("detected_at")
    losses = list(episodes.values_list("pool_id", "client_id", "instance_id", "detected_at"))
    instances = Instance.objects.filter(instance_id__in={instance_id for _, _, instance_id, _ in losses})
    started = {(c, i): at for c, i, at in instances.values_list("client_id", "instance_id", "created_at")}
    runs: dict[str, Setbacks] = {}
    for pool_id, client_id, instance_id, at in losses:
        run = runs.get(pool_id, NO_SETBACKS)
        if run.last_at is not None and at - run.last_at < memory.SHORTEST_QUARANTINE:
            continue
        stayed = at - started.get((client_id, instance_id), at)
        runs[pool_id] = memory.after_loss(run, at, has_paid=stayed / HOUR >= paid_after[pool_id])
    return runs


def _paid_after(pool: Pool, ondemand: Mapping[Kind, float]) -> float:
    """Hours after which an instance there was worth its move and its loss; never, while a price is unknown."""
    listed = ondemand.get((pool.instance_type, pool.region))
    if listed is None or pool.price is None:
        return inf
    return break_even_hours(float(pool.price), listed, risk_value=USUAL_RISK_VALUE, tuning=DEFAULT)


def _failures(pool_ids: Collection[str], now: datetime) -> dict[str, Setbacks]:
    failures = LaunchFailure.objects.filter(
        pool_id__in=pool_ids, at__gt=now - SETBACKS_WITHIN, error_class=LaunchFailure.Class.CAPACITY
    ).order_by("at")
    runs: dict[str, Setbacks] = {}
    for pool_id, at in failures.values_list("pool_id", "at"):
        run = runs.get(pool_id, NO_SETBACKS)
        if run.last_at is None or at - run.last_at >= memory.SHORTEST_QUARANTINE:
            runs[pool_id] = memory.after_failed_launch(run, at)
    return runs
