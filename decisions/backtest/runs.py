"""Runs a set of policies over the markets of a source."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from decisions.backtest.costs import Outcome
from decisions.backtest.market import Market
from decisions.backtest.optimum import follow, optimal_path
from decisions.backtest.policies import SIMPLE, BuiltInPolicy
from decisions.backtest.report import Group
from decisions.backtest.simulator import Policy, replay
from decisions.engine import Limits, Tuning, risk_value_hours

BUILT_IN = BuiltInPolicy.name
POLICIES = (BUILT_IN, *SIMPLE)

T = TypeVar("T")
Progress = Callable[[int, int, str], None]  # done, of how many, what is next


@dataclass(frozen=True, slots=True)
class Setup:
    """`risk_value`: on-demand hours that J charges a reclaim with, and the engine expects it to."""

    limits: Limits
    tuning: Tuning
    policies: Sequence[str] = POLICIES

    @property
    def risk_value(self) -> float:
        given = self.tuning.risk_value
        return risk_value_hours(self.limits.risk_threshold) if given is None else given

    def made(self) -> list[Policy]:
        return [BuiltInPolicy(self.tuning) if name == BUILT_IN else SIMPLE[name]() for name in self.policies]


def sample_of(names: Sequence[T], most: int) -> list[T]:
    """At most `most` of them, evenly spread; 0 takes all."""
    if not most or len(names) <= most:
        return list(names)
    return [names[index * len(names) // most] for index in range(most)]


def run_group(
    name: str, markets: Iterable[Market], *, found: int, expected: int, setup: Setup, progress: Progress
) -> Group | None:
    """None where there is no market."""
    outcomes: dict[str, list[Outcome]] = {policy: [] for policy in ("optimum", *setup.policies)}
    done = 0
    for market in markets:
        progress(done, expected, market.name)
        path = optimal_path(market, risk_value=setup.risk_value)
        outcomes["optimum"].append(follow(market, path, risk_value=setup.risk_value))
        for policy in setup.made():
            outcomes[policy.name].append(replay(market, policy, limits=setup.limits, risk_value=setup.risk_value))
        done += 1
    return Group(name, found, outcomes) if done else None
