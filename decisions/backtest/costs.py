"""What things cost in the replay (issue 5, item 7), and the score."""

from dataclasses import dataclass

OVERLAP_HOURS = 10 / 60  # a planned move bills both instances for this long
MOVE_DOWNTIME_SECONDS = 30
RECLAIM_DOWNTIME_SECONDS = 150
MOVE_PENALTY = 0.1  # on-demand hours, per planned move


@dataclass(slots=True)
class Outcome:
    """What one policy made of one market. Money in USD."""

    policy: str
    market: str
    hours: float
    weeks: float
    ondemand_bill: float
    ondemand_price: float
    risk_value: float  # on-demand hours that a reclaim is charged with
    bill: float = 0.0
    moves: int = 0  # planned
    recoveries: int = 0
    reclaims: float = 0.0  # seen in the data, or expected where they cannot be seen
    reclaims_seen: int = 0
    failed_launches: int = 0
    refused: int = 0  # by the simulator, for a limit

    @property
    def all_moves(self) -> int:
        return self.moves + self.recoveries

    @property
    def downtime_seconds(self) -> float:
        return self.all_moves * MOVE_DOWNTIME_SECONDS + self.reclaims * RECLAIM_DOWNTIME_SECONDS

    @property
    def cost(self) -> float:
        """J: the bill, and what reclaims and moves are charged with."""
        charged_hours = self.risk_value * self.reclaims + MOVE_PENALTY * self.all_moves
        return self.bill + charged_hours * self.ondemand_price

    @property
    def saved(self) -> float:
        """Share of the on-demand bill that was saved."""
        return 1 - self.bill / self.ondemand_bill

    @property
    def score(self) -> float:
        """The same of J: 0 is on-demand throughout."""
        return 1 - self.cost / self.ondemand_bill
