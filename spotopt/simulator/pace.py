"""How often an agent calls: at its true rate while something is under way, stretched while nothing happens.

A week of 200 agents at their true rates is 24 million calls, nearly all of which say "nothing new". Stretched calls
stand on a common grid, so that many agents' calls fall into one simulated second and run in parallel.
"""

import math
from dataclasses import dataclass

HEARTBEAT_SECONDS = 30
ROUNDING_SECONDS = 0.5  # or a moment on the grid, computed a hair early, would be its own successor

# Idle calls per minute of each dialect (agent-api 1.1): what an automatic stretch is computed from
IDLE_CALLS_PER_MINUTE = {"v2": 7.2, "v4": 12.2, "v4b": 4.2, "v5": 14.2}
BUSY_SHARE = 0.45  # of a run's calls: boots, switches, interruptions at true rates


@dataclass(frozen=True)
class Pace:
    stretch: float = 1.0

    @property
    def round_seconds(self) -> float:
        """Between two rounds of heartbeats; the server's jobs run right after each."""
        return HEARTBEAT_SECONDS * self.stretch

    @property
    def is_stretched(self) -> bool:
        return self.stretch > 1

    def idle_due(self, now: float, interval: float, *, phase: float, longest: float = math.inf) -> float:
        """The next call of an idle worker: the first moment after now that is `phase` past a multiple of the period."""
        period = min(interval * self.stretch, max(longest, interval))
        return math.floor((now - phase + ROUNDING_SECONDS) / period + 1) * period + phase


def automatic_stretch(*, mix: dict[str, int], days: float, target_requests: int) -> float:
    calls = sum(count * IDLE_CALLS_PER_MINUTE[dialect] for dialect, count in mix.items()) * days * 24 * 60
    return max(1.0, float(math.ceil(calls / (target_requests * (1 - BUSY_SHARE)))))
