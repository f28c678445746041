"""Before a model session is made live: what its models would have made of this server's own recorded history.

The engine replays the same workloads twice, with the models and with what decides now (the live session, else the
built-in hazard). Score: what J (docs/backtest.md) is below the on-demand bill, in percent of it, mean over workloads.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings

from agents.models import Agent
from decisions.backtest.costs import Outcome
from decisions.backtest.experience import (
    NOTHING,
    Experience,
    InformedPolicy,
    candidates_by_slot,
    with_experience,
)
from decisions.backtest.market import Market
from decisions.backtest.recorded import recorded_advisor, recorded_experience, recorded_ondemand, recorded_series
from decisions.backtest.runs import sample_of
from decisions.backtest.scenarios import SAME_TYPE, PriceSource
from decisions.backtest.simulator import replay
from decisions.engine import Limits, risk_value_hours
from decisions.features import features_of
from decisions.models import ModelSession
from decisions.services.deciding import BUILT_IN
from decisions.services.predictions import SECONDS, Models, asked
from decisions.services.samples import ONDEMAND_PRICE, sample_candidates
from decisions.services.workers import WorkerFailed
from instances.models import Pool
from spotopt.common import clock

ENOUGH = timedelta(days=7)  # of history, or a week's rhythm and the weekly limits are not in it
MOST_WORKLOADS = 12


class Status(StrEnum):
    PASSED = "passed"
    WORSE = "worse"
    TOO_LITTLE_HISTORY = "too_little_history"
    UNFINISHED = "unfinished"  # not a single workload was replayed in the time there is


@dataclass(frozen=True)
class Trial:
    status: Status
    tried_at: str
    against: str = BUILT_IN  # the public id of the session that is live
    margin: float = 0.0
    days: float = 0.0  # of history, of the workload with the most
    workloads: int = 0  # that were replayed, of `found`
    found: int = 0
    score: float | None = None
    score_against: float | None = None
    moves_per_week: float | None = None
    moves_per_week_against: float | None = None
    reclaims_per_week: float | None = None
    reclaims_per_week_against: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"summary": str(self)}

    def __str__(self) -> str:
        match self.status:
            case Status.TOO_LITTLE_HISTORY:
                return f"not backtested: {self.days:.1f} days of history, {ENOUGH.days} are needed"
            case Status.UNFINISHED:
                return "the backtest did not finish in time"
        return (
            f"{self.score:.2f} points against {self.score_against:.2f} of what is live, over {self.workloads} of "
            f"{self.found} workloads and {self.days:.0f} days"
        )


def trial_of(session: ModelSession) -> Trial:
    """Raises WorkerFailed when the session's models cannot be asked.

    A live session that cannot be asked counts as the built-in hazard, as it does in life.
    """
    live = _rival(session)
    deadline = time.monotonic() + settings.MODEL_BACKTEST_SECONDS / 2  # a workload begun is finished
    trial = Trial(
        Status.TOO_LITTLE_HISTORY,
        tried_at=clock.isoformat(clock.now()) or "",
        against=live.public_id if live else BUILT_IN,
        margin=settings.MODEL_BACKTEST_MARGIN,
    )
    with ExitStack() as workers:
        models = workers.enter_context(asked(session, seconds=settings.MODEL_BACKTEST_SECONDS))
        try_out(models)
        markets, known = _recorded_markets()
        enough = [market for market in markets if market.slots * market.slot >= ENOUGH]
        trial = replace(trial, found=len(enough), days=_days(markets))
        if not enough:
            return trial
        rival = workers.enter_context(asked(live, seconds=settings.MODEL_BACKTEST_SECONDS)) if live else None
        pairs = list(_replayed(enough, known, models, rival, deadline))
    return _judged(trial, pairs)


def try_out(models: Models) -> None:
    """Whatever the history holds, they must answer for pools of every sort. Raises WorkerFailed."""
    now = clock.now()
    models.predict([features_of(one, ondemand_price=ONDEMAND_PRICE, now=now) for one in sample_candidates(now=now)])


def _rival(session: ModelSession) -> ModelSession | None:
    """The live session, if it answers; else the built-in hazard decides at present."""
    live = ModelSession.objects.filter(status=ModelSession.Status.ACTIVE).exclude(pk=session.pk).first()
    if live is None:
        return None
    try:
        with asked(live, seconds=min(SECONDS, settings.MODEL_BACKTEST_SECONDS)) as models:
            try_out(models)
    except WorkerFailed:
        return None
    return live


def _recorded_markets() -> tuple[list[Market], Mapping[str, Experience]]:
    """Of types the fleet runs, where there are any; one type of a region is a workload."""
    used = set(Agent.objects.values_list("instance_type", "region").distinct())
    listed = recorded_ondemand()
    pools = [pool for pool in Pool.objects.all() if (pool.region, pool.instance_type) in listed]
    kinds = sorted({(pool.instance_type, pool.region) for pool in pools})
    chosen = set(sample_of([kind for kind in kinds if kind in used] or kinds, MOST_WORKLOADS))
    pool_ids = [pool.pool_id for pool in pools if (pool.instance_type, pool.region) in chosen]
    series = recorded_series(days=settings.MODEL_BACKTEST_DAYS, pool_ids=pool_ids)
    source = PriceSource(series, ondemand=listed, advisor=recorded_advisor())
    markets = list(source.markets(source.workloads(SAME_TYPE), SAME_TYPE))
    if not markets:
        return [], {}
    begin, end = min(one.start for one in markets), max(one.at(one.slots) for one in markets)
    known = recorded_experience(pool_ids=pool_ids, since=begin, until=end)
    return [with_experience(market, known) for market in markets], known


def _days(markets: Sequence[Market]) -> float:
    return max((market.slots * market.slot / timedelta(days=1) for market in markets), default=0.0)


def _replayed(
    markets: Sequence[Market], known: Mapping[str, Experience], models: Models, rival: Models | None, deadline: float
) -> Iterator[tuple[Outcome, Outcome]]:
    """(with the models, with what is live) of each, as long as there is time."""
    limits = Limits()
    risk_value = risk_value_hours(limits.risk_threshold)
    for market in markets:
        if time.monotonic() > deadline:
            return
        outcomes = []
        for name, one in (("models", models), ("live", rival)):
            foretold = None if one is None else _foretold(market, known, one)
            policy = InformedPolicy(name, known, foretold)
            outcomes.append(replay(market, policy, limits=limits, risk_value=risk_value))
        yield outcomes[0], outcomes[1]


def _foretold(market: Market, known: Mapping[str, Experience], models: Models) -> Mapping[str, Sequence[float]]:
    """By pool, the probability at each slot; asked once for all."""
    rows = [
        features_of(candidate, ondemand_price=market.ondemand_price, now=now)
        for pool in market.pools
        for now, candidate in candidates_by_slot(market, pool, known.get(pool.pool_id, NOTHING))
    ]
    found = [one.interruption_probability_24h for one in models.predict(rows)]
    return {
        pool.pool_id: found[number * market.slots : (number + 1) * market.slots]
        for number, pool in enumerate(market.pools)
    }


def _judged(trial: Trial, pairs: Sequence[tuple[Outcome, Outcome]]) -> Trial:
    if not pairs:
        return replace(trial, status=Status.UNFINISHED)
    mine, others = ([pair[side] for pair in pairs] for side in (0, 1))
    score, score_against = (round(_mean(100 * one.score for one in side), 3) for side in (mine, others))
    moves, moves_against = (round(_mean(one.moves / one.weeks for one in side), 3) for side in (mine, others))
    reclaims, reclaims_against = (round(_mean(one.reclaims / one.weeks for one in side), 4) for side in (mine, others))
    return replace(
        trial,
        status=Status.WORSE if score < score_against - trial.margin else Status.PASSED,
        workloads=len(pairs),
        score=score,
        score_against=score_against,
        moves_per_week=moves,
        moves_per_week_against=moves_against,
        reclaims_per_week=reclaims,
        reclaims_per_week_against=reclaims_against,
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
