"""What all parts of a simulation share."""

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spotopt.simulator.ec2 import Cloud
from spotopt.simulator.events import Scheduler
from spotopt.simulator.orders import OrderBook
from spotopt.simulator.pace import Pace
from spotopt.simulator.prices import PriceBook
from spotopt.simulator.promises import Promises
from spotopt.simulator.transport import Transport

if TYPE_CHECKING:
    from spotopt.simulator.workload import Workload

QUIET_SECONDS = 45 * 60.0  # before the end, so that everything that was begun can be finished


@dataclass(frozen=True)
class Chances:
    """What goes wrong, and how often. The agents' side of agent-api 4.3, 5 C5 and 9."""

    no_capacity: float = 0.01  # of launches
    termination_refused: float = 0.01  # of EC2 terminate calls
    report_survives: float = 0.3  # of the switch reports that v2 and v4 send from a host that is shutting down
    goodbye_survives: float = 0.5  # of the `offline` heartbeats that such a host still gets out
    hours_between_restarts: float = 96.0  # of one agent process
    rebalance_signal: float = 0.6  # of the reclaims that are announced early: the signal's recall
    rebalance_precision: float = 1.0  # share of those announcements that a reclaim follows
    late_notice: float = 0.0  # of the reclaims: their notice comes with less than two minutes left
    missing_notice: float = 0.0  # of the reclaims: the machine just dies
    dies_in_emergency: float = 0.0  # of the agents that tell of an interruption: between two of their calls


@dataclass
class World:
    scheduler: Scheduler
    cloud: Cloud
    prices: PriceBook
    transport: Transport
    pace: Pace
    ends_at: float  # no new trouble is started shortly before
    seed: int
    chances: Chances = field(default_factory=Chances)
    orders: OrderBook = field(default_factory=OrderBook)
    promises: Promises = field(default_factory=Promises)
    workloads: dict[str, "Workload"] = field(default_factory=dict)  # by key

    quiet_seconds: float = QUIET_SECONDS
    outages: list[tuple[float, float]] = field(default_factory=list)  # of the server: from, until

    @property
    def now(self) -> float:
        return self.scheduler.now

    @property
    def is_winding_down(self) -> bool:
        return self.now > self.ends_at - self.quiet_seconds

    def served_seconds(self, since: float, until: float) -> float:
        """How much of that time the server could be reached."""
        away = sum(max(0.0, min(until, end) - max(since, start)) for start, end in self.outages)
        return max(0.0, until - since - away)

    def workload(self, key: str) -> "Workload":
        return self.workloads[key]

    def has_route(self, kind: str) -> bool:
        return kind not in self.transport.missing

    def rng(self, name: str) -> random.Random:
        """Chance of its own for each part, so that threads do not change each other's."""
        return random.Random(f"{self.seed}:{name}")
