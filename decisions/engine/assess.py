"""The numbers of each candidate, and the first reason why it is not to be moved to."""

from datetime import datetime
from math import inf

from decisions.engine.hazard import hazards, is_known, probability_within
from decisions.engine.memory import LONGEST_QUARANTINE, LONGEST_RETRY, quarantine_end
from decisions.engine.regret import price_now
from decisions.engine.tuning import Tuning
from decisions.engine.types import Assessment, Candidate, Mode, Situation, State, Verdict

LONGEST_STAY_HOURS = 7 * 24.0  # over which a move's cost is spread, where nothing ends the stay earlier


def risk_value_hours(risk_threshold: float) -> float:
    """What a reclaim is worth, in on-demand hours: 1 at the default threshold of 0.30.

    Acting at a probability p is right when its odds are those of cost to benefit (Pauker & Kassirer 1980), so the value
    goes as (1 - p) / p: 8 at a threshold of 0.05, 0 at 1, and 1,000 at most.
    """
    if risk_threshold <= 0:
        return 1000.0
    odds = (1 - min(risk_threshold, 1.0)) / risk_threshold
    return min(odds / (0.7 / 0.3), 1000.0)


def measure(situation: Situation, *, risk_value: float) -> list[Assessment]:
    """On-demand and every pool, with what can be said of each by itself."""
    now = situation.now
    ondemand = situation.ondemand_price
    risk_price = risk_value * (ondemand or 0.0)
    rates = hazards(situation.candidates)
    measured = [Assessment(pool_id=None, price=ondemand, total_cost=inf if ondemand is None else ondemand)]
    for candidate in situation.candidates:
        hazard = rates[candidate.pool_id]
        confirmed_at = candidate.confirmed_at
        price = price_now(candidate.prices, now)
        risk_cost = hazard * risk_price
        measured.append(
            Assessment(
                pool_id=candidate.pool_id,
                price=price,
                total_cost=inf if price is None else price + risk_cost,
                price_age_seconds=None if confirmed_at is None else max((now - confirmed_at).total_seconds(), 0.0),
                hazard_per_hour=hazard,
                interruption_probability_24h=probability_within(hazard, 24) if is_known(candidate.evidence) else None,
                risk_cost=risk_cost,
                quarantined_until=_quarantine_end(candidate, now),
            )
        )
    return measured


def _quarantine_end(candidate: Candidate, now: datetime) -> datetime | None:
    if not candidate.interruptions.count and not candidate.failures.count:
        return None
    ends = (
        quarantine_end(candidate.interruptions, LONGEST_QUARANTINE),
        quarantine_end(candidate.failures, LONGEST_RETRY),
    )
    return max((end for end in ends if end is not None and end > now), default=None)


def break_even_hours(price: float, ondemand_price: float, *, risk_value: float, tuning: Tuning) -> float:
    """How long a stay must last to pay for the move there and the reclaim at its end; infinite if it saves nothing."""
    if price >= ondemand_price:
        return inf
    spent = (risk_value + tuning.restart_hours + tuning.overlap_hours) * ondemand_price
    return spent / (ondemand_price - price)


class Judge:
    """Compares candidates with where the workload is now."""

    def __init__(
        self,
        situation: Situation,
        current: Assessment,
        state: State,
        *,
        tuning: Tuning,
        share_used: float,
        is_recovery: bool,
    ) -> None:
        self.situation, self.current, self.state, self.tuning = situation, current, state, tuning
        self.is_recovery = is_recovery
        self.ondemand = situation.ondemand_price or 0.0
        self.price_here = 0.0 if current.price is None else current.price
        self.has_basis = bool(self.ondemand and self.price_here) and not self._is_stale(current)
        self.move_cost = tuning.overlap_hours * self.price_here + tuning.restart_hours * self.ondemand
        # A recovery is not put off: on-demand is where it waits. Otherwise the last moves of the week are the dearest.
        self.move_price = self.move_cost * (1.0 if is_recovery else tuning.laziness / (1 - share_used))

    def judge(self, one: Assessment, offered: bool) -> None:
        """Fills in what a move there would bring, and the verdict: the first obstacle, or OUTRANKED: it is worth it."""
        if one is self.current:
            one.verdict = Verdict.CURRENT
        elif not offered:
            one.verdict = Verdict.NOT_OFFERED
        elif one.price is None:
            one.verdict = Verdict.UNKNOWN_PRICE
        elif self._is_stale(one):
            one.verdict = Verdict.STALE_PRICE
        elif not self.has_basis:
            one.verdict = Verdict.NO_BASIS
        else:
            self._compare(one, one.price)

    def _compare(self, one: Assessment, price: float) -> None:
        difference = self.current.total_cost - one.total_cost
        stay = min(1 / one.hazard_per_hour, LONGEST_STAY_HOURS) if one.hazard_per_hour else LONGEST_STAY_HOURS
        ahead = stay if self.is_recovery else min(self.tuning.look_ahead_hours, stay)
        one.saving = self.price_here - price
        one.net_saving = difference - self.move_cost / stay
        one.regret_usd = self.state.regret.get(one.pool_id or "", 0.0)
        one.gain_usd = difference * ahead + (0.0 if self.is_recovery else one.regret_usd)
        one.move_price_usd = self.move_price
        one.payback_risk = (
            probability_within(one.hazard_per_hour, self.move_cost / difference) if difference > 0 else 1.0
        )
        one.verdict = self._verdict(one, price, difference, saved=self.ondemand - price - self.move_cost / stay)

    def _verdict(self, one: Assessment, price: float, difference: float, *, saved: float) -> Verdict:
        limits = self.situation.limits
        if one.pool_id is not None:
            if price >= self.ondemand:
                return Verdict.ABOVE_ONDEMAND
            if one.quarantined_until is not None:
                return Verdict.QUARANTINED
            if saved * 100 < limits.min_savings_percent * self.ondemand:
                return Verdict.SAVES_TOO_LITTLE
        if difference <= 0 or one.net_saving is None or one.net_saving <= 0:
            return Verdict.NOT_BETTER
        if one.payback_risk is not None and one.payback_risk > limits.risk_threshold:
            return Verdict.TOO_RISKY
        return Verdict.OUTRANKED if one.gain_usd >= one.move_price_usd else Verdict.NOT_WORTH_A_MOVE

    def _is_stale(self, one: Assessment) -> bool:
        if one.pool_id is None:
            return False
        return one.price_age_seconds is None or one.price_age_seconds > self.situation.limits.price_max_age_seconds


def current_of(measured: list[Assessment], situation: Situation) -> Assessment:
    """Where the workload is; a pool nobody told of is one without numbers."""
    placement = situation.placement
    wanted = None if placement.mode is Mode.ONDEMAND else placement.pool_id
    for one in measured:
        if one.pool_id == wanted and (wanted is not None or placement.mode is Mode.ONDEMAND):
            return one
    unknown = Assessment(pool_id=wanted or "")
    measured.append(unknown)
    return unknown
