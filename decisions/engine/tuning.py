"""The numbers that were chosen, not given. docs/engine.md tells where each comes from and how little hangs on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    risk_value: float | None = None  # on-demand hours a reclaim is worth; None: from the agent's risk_threshold
    laziness: float = 2.0  # a gain must be this many times what the move costs
    look_ahead_hours: float = 1.0  # for how long a present difference is taken for granted
    restart_hours: float = 0.1  # of on-demand, that a planned move is charged with
    overlap_hours: float = 10 / 60  # for how long a planned move bills both instances


DEFAULT = Tuning()
