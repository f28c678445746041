"""A decision and what it rests on, as JSON: for records, and for the question an uploaded engine is asked."""

from math import isfinite
from typing import Any

from decisions.engine import Assessment, Decision, Mode, Situation
from spotopt.common import clock


def numbers_of(situation: Situation, decision: Decision) -> dict[str, Any]:
    limits = situation.limits
    return {
        "ondemand_price": situation.ondemand_price,
        "placement": {
            "mode": situation.placement.mode.value,
            "pool_id": situation.placement.pool_id,
            "since": clock.isoformat(situation.placement.since),
            "is_fallback": situation.placement.is_fallback,
        },
        "holds": list(situation.holds),
        "limits": {
            "min_savings_percent": limits.min_savings_percent,
            "risk_threshold": limits.risk_threshold,
            "switches_today": f"{decision.limits.day} of {limits.max_switches_per_day}",
            "switches_this_week": f"{decision.limits.week} of {limits.max_switches_per_week}",
            "reached": [limit.value for limit in decision.limits.reached],
            "resets_at": clock.isoformat(decision.limits.resets_at),
        },
        "risk_value_hours": rounded_number(decision.risk_value_hours),
        "preferred": {"action": decision.preferred.value, "pool_id": decision.preferred_pool_id},
        "candidates": [_candidate(one) for one in decision.assessments],
    }


def _candidate(one: Assessment) -> dict[str, Any]:
    return {
        "pool_id": one.pool_id,
        "mode": (Mode.ONDEMAND if one.pool_id is None else Mode.SPOT).value,
        "price": rounded_number(one.price),
        "price_age_seconds": rounded_number(one.price_age_seconds, 0),
        "interruption_probability_24h": rounded_number(one.interruption_probability_24h),
        "risk_cost": rounded_number(one.risk_cost),
        "total_cost": rounded_number(one.total_cost),
        "saving": rounded_number(one.saving),
        "net_saving": rounded_number(one.net_saving),
        "gain_usd": rounded_number(one.gain_usd),
        "move_price_usd": rounded_number(one.move_price_usd),
        "quarantined_until": clock.isoformat(one.quarantined_until),
        "verdict": one.verdict.value,
        "reason": one.reason,
    }


def rounded_number(value: float | None, places: int = 6) -> float | None:
    """None for what is not known, or infinite."""
    return round(value, places) if value is not None and isfinite(value) else None
