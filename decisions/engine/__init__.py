"""The decision core. It knows no database and no clock: `decide` is a function of what it is given."""

from decisions.engine.assess import break_even_hours, risk_value_hours
from decisions.engine.core import VERSION, decide
from decisions.engine.hazard import published_reclaims_per_hour
from decisions.engine.memory import after_failed_launch, after_launch, after_loss, faded, weight_now
from decisions.engine.overrule import LimitViolated, overruled
from decisions.engine.tuning import DEFAULT, Tuning
from decisions.engine.types import (
    Action,
    Assessment,
    Candidate,
    Decision,
    Evidence,
    History,
    Limit,
    Limits,
    LimitUse,
    Mode,
    Placement,
    PriceStep,
    Setbacks,
    Situation,
    State,
    Verdict,
)

__all__ = [
    "DEFAULT",
    "VERSION",
    "Action",
    "Assessment",
    "Candidate",
    "Decision",
    "Evidence",
    "History",
    "Limit",
    "LimitUse",
    "LimitViolated",
    "Limits",
    "Mode",
    "Placement",
    "PriceStep",
    "Setbacks",
    "Situation",
    "State",
    "Tuning",
    "Verdict",
    "after_failed_launch",
    "after_launch",
    "after_loss",
    "break_even_hours",
    "decide",
    "faded",
    "overruled",
    "published_reclaims_per_hour",
    "risk_value_hours",
    "weight_now",
]
