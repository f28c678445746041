"""Geometry of the overview's charts: numbers in, coordinates for the templates out. dashboard.css has the colours."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from analytics.selectors.savings import Totals
from instances.selectors.prices import Steps

WIDTH, HEIGHT = 600, 240
LEFT, RIGHT, TOP, BOTTOM = 68, 26, 14, 34
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
BASE = TOP + PLOT_HEIGHT
MAX_LABELS = 6  # on the time axis


@dataclass(frozen=True)
class Tick:
    at: float  # x or y
    label: str
    is_minor: bool = False  # left out on narrow screens


@dataclass(frozen=True)
class Bar:
    """One period: what on-demand would have cost, and in front of it what was paid."""

    x: float
    width: float
    baseline_y: float
    baseline_height: float
    paid_y: float
    paid_height: float
    is_loss: bool  # paid covers baseline, which then needs a mark
    title: str

    @property
    def right(self) -> float:
        return round(self.x + self.width, 1)


@dataclass(frozen=True)
class Line:
    path: str
    name: str


@dataclass(frozen=True)
class Chart:
    y_ticks: list[Tick]
    x_ticks: list[Tick]
    bars: list[Bar] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    # for the templates
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    base: int = BASE
    label_x: int = LEFT - 8


@dataclass(frozen=True)
class Period:
    label: str
    totals: Totals


def cost_bars(periods: Sequence[Period]) -> Chart:
    amounts = [float(v) for p in periods for v in (p.totals.baseline_usd, p.totals.paid_usd) if v is not None]
    ticks = nice_ticks(0, max(amounts, default=0) or 1)
    top = ticks[-1]
    slot = PLOT_WIDTH / max(len(periods), 1)
    width = min(slot * 0.7, 40)
    bars, labels = [], []
    every = math.ceil(len(periods) / MAX_LABELS)
    for index, period in enumerate(periods):
        middle = LEFT + slot * (index + 0.5)
        baseline, paid = (
            PLOT_HEIGHT * float(v or 0) / top for v in (period.totals.baseline_usd, period.totals.paid_usd)
        )
        bars.append(
            Bar(
                x=round(middle - width / 2, 1),
                width=round(width, 1),
                baseline_y=round(BASE - baseline, 1),
                baseline_height=round(baseline, 1),
                paid_y=round(BASE - paid, 1),
                paid_height=round(paid, 1),
                is_loss=paid > baseline > 0,
                title=_title(period),
            )
        )
        labelled, left_over = divmod(len(periods) - 1 - index, every)
        if left_over == 0:  # the newest always has its label
            labels.append(Tick(round(middle, 1), period.label, is_minor=labelled % 2 == 1))
    return Chart(y_ticks=_y_ticks(ticks, low=0, high=top, unit="$"), x_ticks=labels, bars=bars)


def price_lines(named: dict[str, Steps], *, since: datetime, until: datetime) -> Chart | None:
    """Step lines; None if nothing is known in the window."""
    drawn = {name: list(_points(steps, since, until)) for name, steps in named.items()}
    prices = [float(price) for points in drawn.values() for _, price in points if price is not None]
    if not prices:
        return None
    ticks = nice_ticks(min(prices), max(prices))
    low, high = ticks[0], ticks[-1]
    seconds = (until - since).total_seconds()

    def x(at: datetime) -> float:
        return round(LEFT + PLOT_WIDTH * (at - since).total_seconds() / seconds, 1)

    def y(price: Decimal) -> float:
        return round(BASE - PLOT_HEIGHT * (float(price) - low) / (high - low), 1)

    lines = [
        Line(_path([(x(at), None if price is None else y(price)) for at, price in points], end=x(until)), name)
        for name, points in drawn.items()
    ]
    return Chart(
        y_ticks=_y_ticks(ticks, low=low, high=high, unit=""),
        x_ticks=[Tick(x(at), label, is_minor=n % 2 == 1) for n, (at, label) in enumerate(time_labels(since, until))],
        lines=lines,
    )


def nice_ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `count` steps."""
    if high <= low:
        low, high = low * 0.9, high * 1.1
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def time_labels(since: datetime, until: datetime) -> list[tuple[datetime, str]]:
    """Full hours or days, whichever give at most MAX_LABELS."""
    hours = (until - since).total_seconds() / 3600
    every = next((h for h in (1, 2, 3, 6, 12, 24, 48, 120) if hours / h <= MAX_LABELS), 240)
    start = since.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = (start + timedelta(hours=every * i) for i in range(int(hours / every) + 26))
    inside = [at for at in moments if since <= at <= until]
    return [(at, f"{at:%H:%M}" if every < 24 else f"{at:%b} {at.day}") for at in inside]


def _points(steps: Steps, since: datetime, until: datetime) -> Iterator[tuple[datetime, Decimal | None]]:
    """The value at the start and each change, at most one per pixel: a path needs no more."""
    pixel = (until - since) / PLOT_WIDTH
    yield since, steps.at(since)
    changes = steps.changes(since, until)
    for index, at in enumerate(changes):
        is_last_in_pixel = index + 1 == len(changes) or (changes[index + 1] - since) // pixel > (at - since) // pixel
        if is_last_in_pixel:
            yield at, steps.at(at)


def _path(points: list[tuple[float, float | None]], *, end: float) -> str:
    """Horizontal, then vertical; a gap where the price is unknown."""
    parts: list[str] = []
    is_drawing = False
    for x, y in points:
        if is_drawing:
            parts.append(f"H{x:g}")
        if y is not None:
            parts.append(f"V{y:g}" if is_drawing else f"M{x:g} {y:g}")
        is_drawing = y is not None
    return " ".join([*parts, f"H{end:g}"] if is_drawing else parts)


def _y_ticks(values: list[float], *, low: float, high: float, unit: str) -> list[Tick]:
    step = values[1] - values[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, digits) != round(step, 10):  # 0.25
        digits += 1
    return [
        Tick(round(BASE - PLOT_HEIGHT * (value - low) / (high - low), 1), f"{unit}{value:,.{digits}f}")
        for value in values
    ]


def _title(period: Period) -> str:
    totals = period.totals
    if totals.baseline_usd is None or totals.paid_usd is None:
        return f"{period.label}: nothing with a known price"
    saved = usd(totals.savings_usd)
    return f"{period.label}: on-demand {usd(totals.baseline_usd)}, paid {usd(totals.paid_usd)}, saved {saved}"


def usd(amount: Decimal | None) -> str:
    """`$1,520.25`, `−$3.10`; a dash for unknown."""
    if amount is None:
        return "–"
    return f"{'−' if round(amount, 2) < 0 else ''}${abs(amount):,.2f}"
