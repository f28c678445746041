"""Every number above in words: what the decision record, the console and `switch-recommendation` show."""

from collections.abc import Sequence

from decisions.engine.types import Assessment, Limit, LimitUse, Situation, Verdict


def explain(one: Assessment, situation: Situation, use: LimitUse, best: Assessment | None) -> str:
    """Why this candidate won or lost."""
    limits = situation.limits
    match one.verdict:
        case Verdict.CHOSEN:
            return f"Saves {_usd(one.net_saving)} an hour, risk and the move counted."
        case Verdict.CURRENT:
            return "The workload is here."
        case Verdict.NOT_OFFERED:
            return "The pool is not offered."
        case Verdict.UNKNOWN_PRICE:
            return "Its price is not known."
        case Verdict.NO_BASIS:
            return "What the workload pays now, or would pay on on-demand, is not known well enough to compare."
        case Verdict.STALE_PRICE:
            age = "never" if one.price_age_seconds is None else f"{one.price_age_seconds / 60:.0f} min ago"
            return (
                f"Its price was last confirmed {age}; at most {limits.price_max_age_seconds / 60:.0f} min are allowed."
            )
        case Verdict.ABOVE_ONDEMAND:
            return f"{_usd(one.price)} an hour is not below on-demand's {_usd(situation.ondemand_price)}."
        case Verdict.QUARANTINED:
            until = f"{one.quarantined_until:%Y-%m-%d %H:%M}" if one.quarantined_until else "later"
            return f"It lost an instance or had no capacity: left alone until {until} UTC."
        case Verdict.SAVES_TOO_LITTLE:
            return f"It saves less than {limits.min_savings_percent:g} % of on-demand, the move counted."
        case Verdict.TOO_RISKY:
            return (
                f"With a probability of {one.payback_risk:.0%} it is lost before the move has paid for itself; "
                f"the agent accepts {limits.risk_threshold:.0%}."
            )
        case Verdict.NOT_WORTH_A_MOVE:
            return f"It would have gained {_usd(one.gain_usd)} so far; a move must gain {_usd(one.move_price_usd)}."
        case Verdict.LIMITED:
            return f"Worth a move, but not now: {_limits(situation, use)}."
        case Verdict.OUTRANKED:
            return f"Worth a move, but {_name(best)} costs less, risk included."
    return f"It costs {_usd(one.total_cost)} an hour, risk included: no less than staying, the move counted."


def summary(
    situation: Situation,
    current: Assessment,
    assessments: Sequence[Assessment],
    best: Assessment | None,
    use: LimitUse,
    *,
    is_recovery: bool,
) -> str:
    """The decision in one sentence; when nothing happens, why."""
    here = _name(current)
    if best is None:
        if any(one.verdict is Verdict.NO_BASIS for one in assessments):
            return f"Stay in {here}: its price, or on-demand's, is not known well enough to compare."
        return f"Stay in {here}: no place is better by enough to pay for a move."
    if best.verdict is Verdict.LIMITED:
        return f"Stay in {here} although {_name(best)} is worth a move: {_limits(situation, use)}."
    verb = "Return" if is_recovery else "Move"
    return f"{verb} from {here} to {_name(best)}: {_usd(best.net_saving)} an hour less, risk and the move counted."


def _limits(situation: Situation, use: LimitUse) -> str:
    limits = situation.limits
    words = {
        Limit.HELD: "; ".join(situation.holds),
        Limit.POOL_DURATION: f"the last switch was less than {limits.min_pool_duration_hours:g} h ago",
        Limit.PER_DAY: f"{use.day} of {limits.max_switches_per_day} switches a day are used",
        Limit.PER_WEEK: f"{use.week} of {limits.max_switches_per_week} switches a week are used",
        Limit.RECOVERIES: f"{use.recoveries_day} of {limits.max_recoveries_per_day} returns a day are used",
    }
    said = "; ".join(words[limit] for limit in use.reached)
    return f"{said}, until {use.resets_at:%Y-%m-%d %H:%M} UTC" if use.resets_at else said


def _name(one: Assessment | None) -> str:
    if one is None:
        return "another"
    return "on-demand" if one.pool_id is None else one.pool_id or "an unknown pool"


def _usd(amount: float | None) -> str:
    return "an unknown amount" if amount is None else f"${amount:.4f}"
