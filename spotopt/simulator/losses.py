"""Losses as they really happened: availability traces of spot pools, replayed on the pools of the simulation.

A row of the file says how many instances a pool could hold from `offset_s` on; -1 ends the series. When the number
falls from a to b, EC2 takes (a - b) / a of what runs in the pool; while it is 0, nothing new starts there.
"""

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spotopt.simulator.prices import BadPrices, Pool, read_text
from spotopt.simulator.reclaims import Reclaims
from spotopt.simulator.world import World

DAY = 24 * 3600
WITHIN_SECONDS = 300  # of a drop, until all it costs have their notice
END = -1


@dataclass(frozen=True)
class Series:
    """`counts[i]` instances are available from `offsets[i]` seconds on, until `length`, where it begins anew."""

    offsets: tuple[float, ...]
    counts: tuple[int, ...]
    length: float

    def replay(self, phase: float) -> Iterator[tuple[float, int]]:
        """(seconds since the start, available) of each step, endless; begins `phase` seconds into the series."""
        steps = list(zip(self.offsets, self.counts, strict=True))
        phase %= self.length
        yield 0.0, next((count for offset, count in reversed(steps) if offset <= phase), self.counts[-1])
        for lap in itertools.count():
            for offset, count in steps:
                if (at := lap * self.length + offset - phase) > 0:
                    yield at, count

    def replay_now_and_then(self, phase: float, *, every_days: float, first_day: float) -> Iterator[tuple[float, int]]:
        """`replay`, but only one day in `every_days`, the first after `first_day`; at other times nothing is short."""
        plenty = max(self.counts)
        for at, count in self.replay(phase):
            is_rough = (at / DAY - first_day) % every_days < 1
            yield at, count if is_rough else plenty


Traces = dict[tuple[str, str, str], list[Series]]  # by (kind, trace, instance type): one series per zone


def read_losses(path: Path) -> Traces:
    """CSV, gzipped or not: kind, trace, zone, instance, offset_s, value. Raises BadPrices."""
    steps: dict[tuple[str, str, str, str], list[tuple[float, int]]] = {}
    for row in csv.DictReader(io.StringIO(read_text(path))):
        try:
            key = (row["kind"], row["trace"], row["instance"], row["zone"])
            steps.setdefault(key, []).append((float(row["offset_s"]), int(row["value"])))
        except (KeyError, TypeError, ValueError) as error:
            raise BadPrices(f"{path} is no availability trace: {type(error).__name__} {error} in {row}") from error
    traces: Traces = {}
    for (kind, trace, instance, _), points in sorted(steps.items()):
        points.sort(key=lambda point: point[0])
        known = [point for point in points if point[1] != END]
        if known and points[-1][0] > 0:
            offsets, counts = zip(*known, strict=True)
            traces.setdefault((kind, trace, instance), []).append(Series(offsets, counts, points[-1][0]))
    if not traces:
        raise BadPrices(f"{path} has no usable series: expected kind, trace, zone, instance, offset_s, value.")
    return traces


class Losses:
    """The zones of an instance type replay the zones of one trace, in step, so that they fail together as they did.

    The public traces are of scarce capacity, where a machine is lost many times a day; `every_days` lets each type
    have such a day only now and then.
    """

    def __init__(self, world: World, reclaims: Reclaims, traces: Traces, *, every_days: float = 1.0) -> None:
        self.world = world
        self.reclaims = reclaims
        self.drops = 0
        self._every_days = every_days
        self._rng = world.rng("losses")
        self._available: dict[Pool, int] = {}
        self._feeds = self._assign(traces)

    def _assign(self, traces: Traces) -> dict[Pool, Iterator[tuple[float, int]]]:
        names = sorted(traces)
        self._rng.shuffle(names)
        kinds = sorted({(pool.region, pool.instance_type) for pool in self.world.prices.series})
        feeds = {}
        for (region, instance_type), name in zip(kinds, itertools.cycle(names), strict=False):
            zones = self._rng.sample(traces[name], len(traces[name]))
            phase = self._rng.random() * zones[0].length
            first_day = self._rng.random() * self._every_days
            for number, pool in enumerate(self.world.prices.pools(instance_type, region)):
                if number and number % len(zones) == 0:  # no two pools do the same at the same time
                    phase = self._rng.random() * zones[0].length
                feeds[pool] = zones[number % len(zones)].replay_now_and_then(
                    phase, every_days=self._every_days, first_day=first_day
                )
        return feeds

    def start(self) -> None:
        started = self.world.now
        for pool in self._feeds:
            self._next_step(pool, started)

    def _next_step(self, pool: Pool, started: float) -> None:
        seconds, available = next(self._feeds[pool])

        def step() -> None:
            self._change(pool, available)
            self._next_step(pool, started)

        self.world.scheduler.at(started + seconds, step, key="reclaims")

    def _change(self, pool: Pool, available: int) -> None:
        before = self._available.get(pool, available)
        self._available[pool] = available
        if available == 0:
            self.world.cloud.exhausted.add(pool)
        else:
            self.world.cloud.exhausted.discard(pool)
        if available < before:
            self.drops += 1
            self._lose((before - available) / before, pool)

    def _lose(self, share: float, pool: Pool) -> None:
        running = [instance for instance in self.reclaims.running() if instance.pool == pool]
        running.sort(key=lambda instance: instance.id)  # launches of one second come in any order
        number = int(len(running) * share + self._rng.random())  # right on average when the pool holds only a few
        for instance in self._rng.sample(running, min(number, len(running))):
            self.reclaims.take(instance, within=WITHIN_SECONDS)
