"""The table as a picture. matplotlib is a development dependency: a server needs none."""

from collections.abc import Sequence
from pathlib import Path

from decisions.backtest.report import Group


class NoPlotting(Exception):
    """matplotlib is not installed."""


def plot(groups: Sequence[Group], path: Path) -> None:
    """One panel per group: points of J of each policy, with the planned moves a week on the bars."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise NoPlotting("--plot needs matplotlib: pip install matplotlib") from error
    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(groups), 1, figsize=(8, 1 + 2.2 * len(groups)), squeeze=False, constrained_layout=True
    )
    for axis, group in zip(axes[:, 0], groups, strict=True):
        rows = group.rows()[::-1]
        points = [round(row.score_points, 6) + 0 for row in rows]  # adding 0 keeps a bar of -0 on its side
        bars = axis.barh([row.policy for row in rows], points, color="#4878a8")
        axis.bar_label(bars, [f" {row.score_points:.1f}  ({row.moves_per_week:.2f} moves/week)" for row in rows])
        axis.set_title(f"{group.name} ({group.workloads} workloads)", loc="left", fontsize=10)
        axis.margins(x=0.45)
    axes[-1, 0].set_xlabel("J below on-demand, % of the on-demand bill")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
