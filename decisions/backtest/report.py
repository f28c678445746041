"""Outcomes put together: means over the workloads of a group, as a table and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from decisions.backtest.costs import Outcome

HEADERS = (
    "policy", "saved %", "of best %", "J points", "of best %", "moves/wk", "returns/wk", "reclaims/wk", "down min/wk",
    "failed/wk", "refused",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One policy's means over a group's workloads, each workload counting the same."""

    policy: str
    saved_percent: float  # of the on-demand bill
    saved_of_optimum_percent: float | None
    score_points: float  # what J is below on-demand's bill, in percent of it
    score_of_optimum_percent: float | None
    moves_per_week: float  # planned
    returns_per_week: float  # from forced fall-backs
    reclaims_per_week: float
    downtime_minutes_per_week: float
    failed_launches_per_week: float
    refused: float


@dataclass(frozen=True, slots=True)
class Group:
    """Markets of one source and scope, and what each policy made of them; the optimum comes first."""

    name: str
    found: int  # workloads in the files, of which `outcomes` replayed a sample
    outcomes: dict[str, list[Outcome]]

    @property
    def workloads(self) -> int:
        return len(next(iter(self.outcomes.values()), []))

    def rows(self) -> list[Row]:
        best = self.outcomes["optimum"]
        saved, score = _mean(one.saved for one in best), _mean(one.score for one in best)
        return [
            Row(
                policy=policy,
                saved_percent=100 * (mine := _mean(one.saved for one in outcomes)),
                saved_of_optimum_percent=100 * mine / saved if saved > 0 else None,
                score_points=100 * (points := _mean(one.score for one in outcomes)),
                score_of_optimum_percent=100 * points / score if score > 0 else None,
                moves_per_week=_mean(one.moves / one.weeks for one in outcomes),
                returns_per_week=_mean(one.recoveries / one.weeks for one in outcomes),
                reclaims_per_week=_mean(one.reclaims / one.weeks for one in outcomes),
                downtime_minutes_per_week=_mean(one.downtime_seconds / 60 / one.weeks for one in outcomes),
                failed_launches_per_week=_mean(one.failed_launches / one.weeks for one in outcomes),
                refused=_mean(one.refused for one in outcomes),
            )
            for policy, outcomes in self.outcomes.items()
        ]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def table(group: Group) -> str:
    lines = [HEADERS, *(_cells(row) for row in group.rows())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADERS))]
    sample = "" if group.workloads == group.found else f" of {group.found}"
    text = [f"{group.name}: {group.workloads}{sample} workloads"]
    for line in lines:
        first, *rest = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        text.append("  ".join([line[0].ljust(len(first)), *rest]))
    return "\n".join(text)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.policy,
        _two(row.saved_percent),
        _share(row.saved_of_optimum_percent),
        _two(row.score_points),
        _share(row.score_of_optimum_percent),
        f"{row.moves_per_week:.2f}",
        f"{row.returns_per_week:.2f}",
        f"{row.reclaims_per_week:.3f}",
        f"{row.downtime_minutes_per_week:.1f}",
        f"{row.failed_launches_per_week:.1f}",
        f"{row.refused:.0f}",
    )


def _share(percent: float | None) -> str:
    return "-" if percent is None else _two(percent)


def _two(number: float) -> str:
    return f"{round(number, 2) + 0:.2f}"  # adding 0 makes 0.00 of -0.00


def as_json(groups: Sequence[Group], *, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "settings": settings,
        "groups": [
            {
                "name": group.name,
                "workloads": group.workloads,
                "found": group.found,
                "policies": [asdict(row) for row in group.rows()],
                "markets": [_market(outcome) for outcomes in group.outcomes.values() for outcome in outcomes],
            }
            for group in groups
        ],
    }


def _market(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome) | {"saved": outcome.saved, "cost": outcome.cost, "score": outcome.score}
