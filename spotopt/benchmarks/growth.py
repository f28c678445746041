"""A picture of what a call costs as fleet and history grow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spotopt.benchmarks.measure import Rate


@dataclass(frozen=True)
class Point:
    agents: int
    history: int  # price points and events
    rates: dict[str, Rate]  # by call


def draw(file: Path, *, by_agents: Sequence[Point], by_history: Sequence[Point]) -> None:
    """Requests per second above, p99 below; by agents left, by rows of history right. SVG or PNG, as `file` ends."""
    from matplotlib.figure import Figure  # for developers only (requirements-dev.txt), and slow to import

    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    series = (
        ("agents", by_agents, [point.agents for point in by_agents]),
        ("rows of history", by_history, [point.history for point in by_history]),
    )
    for column, (label, points, sizes) in enumerate(series):
        for name in points[0].rates:
            found = [point.rates[name] for point in points]
            panels[0, column].plot(sizes, [rate.per_second for rate in found], marker="o", label=name)
            panels[1, column].plot(sizes, [1000 * (rate.p99 or 0) for rate in found], marker="o", label=name)
        panels[1, column].set_xlabel(label)
        panels[1, column].set_xscale("log")
    for row, label in enumerate(("requests per second", "p99, ms")):
        panels[row, 0].set_ylabel(label)
        for panel in panels[row]:
            panel.set_yscale("log")
            panel.set_ylim(10, 3000)  # a factor of two shall not look like a cliff
            panel.grid(which="both", alpha=0.2)
    panels[0, 1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(file)
