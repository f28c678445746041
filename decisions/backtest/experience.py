"""What a fleet went through in a pool, and what was known of that in each slot of a market."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from decisions.backtest.market import Market, PoolSeries
from decisions.backtest.policies import BuiltInPolicy
from decisions.backtest.simulator import View
from decisions.engine import (
    Candidate,
    Evidence,
    Limits,
    PriceStep,
    Setbacks,
    Tuning,
    faded,
    published_reclaims_per_hour,
)
from decisions.engine.memory import LONGEST_QUARANTINE
from decisions.engine.regret import LONGEST_WINDOW
from decisions.engine.types import NO_SETBACKS

HOUR = timedelta(hours=1)
UNRATED_HOURS = 24.0  # without a reclaim, that stand for what is not known of a pool AWS does not rate


@dataclass(slots=True)
class Experience:
    """In time order. `stays` of instances: from, to."""

    reclaims: list[datetime] = field(default_factory=list)
    failed_launches: list[datetime] = field(default_factory=list)
    stays: list[tuple[datetime, datetime]] = field(default_factory=list)

    @property
    def hours(self) -> float:
        return sum((end - begin) / HOUR for begin, end in self.stays)


NOTHING = Experience()


def with_experience(market: Market, known: Mapping[str, Experience]) -> Market:
    """Its pools take instances back as often as they really did, weighed against what AWS publishes of them."""
    return replace(market, pools=tuple(_with_rate(pool, known.get(pool.pool_id, NOTHING)) for pool in market.pools))


def _with_rate(pool: PoolSeries, known: Experience) -> PoolSeries:
    if pool.bucket is None:
        rate = len(known.reclaims) / (known.hours + UNRATED_HOURS)
    else:
        rate = (1 + len(known.reclaims)) / (known.hours + 1 / published_reclaims_per_hour(pool.bucket))
    return replace(pool, reclaims_per_hour=rate)


def evidence_by_slot(market: Market, pool: PoolSeries, known: Experience) -> list[Evidence]:
    """What the server could have known at the start of each slot."""
    exposure, before = _exposure_by_slot(market, known), 0
    evidence, found = Evidence(pool.bucket), []
    for slot in range(market.slots):
        found.append(evidence)
        until = bisect_right(known.reclaims, market.at(slot + 1))
        seen = replace(
            evidence,
            reclaims=evidence.reclaims + until - before,
            exposure_hours=evidence.exposure_hours + exposure[slot],
        )
        evidence, before = faded(seen, market.slot), until
    return found


def _exposure_by_slot(market: Market, known: Experience) -> list[float]:
    """Instance-hours in each slot; a stay is entered as its two ends, so its length costs nothing."""
    rate, hours = [0.0] * (market.slots + 1), [0.0] * market.slots
    for begin, end in known.stays:
        first, last = ((at - market.start) / market.slot for at in (begin, end))
        for at, sign in ((max(first, 0.0), 1), (max(min(last, market.slots), 0.0), -1)):
            slot = min(int(at), market.slots)
            if slot < market.slots:
                hours[slot] += sign * (slot + 1 - at) * market.slot_hours
                rate[slot + 1] += sign * market.slot_hours
    running = 0.0
    for slot in range(market.slots):
        running += rate[slot]
        hours[slot] = max(hours[slot] + running, 0.0)
    return hours


def candidates_by_slot(market: Market, pool: PoolSeries, known: Experience) -> Iterator[tuple[datetime, Candidate]]:
    """The pool as a model would have been shown it at the start of each slot."""
    evidence = evidence_by_slot(market, pool, known)
    steps: list[PriceStep] = []
    for slot, price in enumerate(pool.prices):
        now = market.at(slot)
        if price is None:
            steps.clear()
        elif not steps or steps[-1].price != price:
            steps.append(PriceStep(now, price))
        while len(steps) > 1 and steps[1].at <= now - LONGEST_WINDOW:
            steps.pop(0)
        yield (
            now,
            Candidate(
                pool.pool_id,
                pool.region,
                tuple(steps),
                confirmed_at=now,
                evidence=evidence[slot],
                interruptions=_latest(known.reclaims, now),
                failures=_latest(known.failed_launches, now),
            ),
        )


def _latest(times: Sequence[datetime], now: datetime) -> Setbacks:
    place = bisect_right(times, now)
    if not place or now - times[place - 1] > LONGEST_QUARANTINE:
        return NO_SETBACKS
    return Setbacks(times[place - 1], 1)


class InformedPolicy(BuiltInPolicy):
    """The engine with what a server would have known of every pool, and with what a model would have foretold."""

    def __init__(
        self,
        name: str,
        known: Mapping[str, Experience],
        foretold: Mapping[str, Sequence[float]] | None = None,  # by pool: the probability at each slot
    ) -> None:
        super().__init__(Tuning())
        self.name, self._known, self._foretold = name, known, foretold

    def start(self, market: Market, limits: Limits) -> None:
        super().start(market, limits)
        self._evidence = [evidence_by_slot(market, one, self._known.get(one.pool_id, NOTHING)) for one in market.pools]

    def _learn(self, view: View) -> None:
        """Its own setbacks, and everybody's experience."""
        super()._learn(view)
        for number, pool in enumerate(view.market.pools):
            evidence = self._evidence[number][view.slot]
            if self._foretold is not None:
                foretold = self._foretold[pool.pool_id][view.slot]
                evidence = replace(evidence, interruption_probability_24h=foretold)
            self.evidence[number] = evidence
