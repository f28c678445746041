"""Time-weighted figures of step functions: a price counts for as long as it was in effect.

Times are whole microseconds since 1970 and prices plain numbers: a chart is made of tens of thousands of each.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACES = 6  # of a price


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Series:
    """`values[i]` USD per hour from `times[i]` until the next time; None is unknown, as is all before the first."""

    times: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)

    def means(self, edges: Sequence[int]) -> list[float | None]:
        """Of each [edges[i], edges[i + 1]), over the time with a known value; None where there is none."""
        times, values = [*self.times, edges[-1]], [*self.values, None]
        upcoming = bisect_right(times, edges[0])
        value = values[upcoming - 1] if upcoming else None
        means: list[float | None] = []
        for start, end in pairwise(edges):
            if times[upcoming] >= end:
                means.append(value)
                continue
            known, weighted, at = 0, 0.0, start
            while at < end:
                until = min(times[upcoming], end)
                if value is not None:
                    known += until - at
                    weighted += (until - at) * value
                if until == times[upcoming]:
                    value = values[upcoming]
                    upcoming += 1
                at = until
            means.append(round(weighted / known, PLACES) if known else None)
        return means

    def mean_and_deviation(self, since: int, until: int) -> tuple[float, float] | None:
        """The standard deviation around the mean, over the known time of [since, until); None where there is none."""
        first, last = bisect_right(self.times, since), bisect_left(self.times, until)
        values = [self.values[first - 1] if first else None, *self.values[first:last]]
        cuts = [since, *self.times[first:last], until]
        known = [(end - start, v) for (start, end), v in zip(pairwise(cuts), values, strict=True) if v is not None]
        total = sum(length for length, _ in known)
        if not total:
            return None
        mean = sum(length * value for length, value in known) / total
        return mean, math.sqrt(sum(length * (value - mean) ** 2 for length, value in known) / total)
