"""Readers for the CSV files that `docs/backtest.md` describes. Nothing here knows the database."""

import csv
import gzip
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

LONGEST_GAP = timedelta(hours=48)  # AWS repeats an unchanged price about once a day: longer silence, no offer


@dataclass(frozen=True, slots=True)
class Series:
    """Change points of one pool's price, in time order."""

    region: str
    az: str
    instance_type: str
    times: list[float]  # seconds since 1970
    prices: list[float]

    @property
    def lowest(self) -> float:
        return min(self.prices)

    def sampled(self, start: float, step: float, count: int) -> list[float | None]:
        """The price at the start of each slot; None before the first point and in gaps."""
        found: list[float | None] = []
        longest = LONGEST_GAP.total_seconds()
        for slot in range(count):
            at = start + slot * step
            index = bisect_right(self.times, at) - 1
            known = index >= 0 and at - self.times[index] <= longest
            found.append(self.prices[index] if known else None)
        return found


@dataclass(frozen=True, slots=True)
class Advice:
    """AWS's spot advisor on a type in a region."""

    bucket: int
    vcpu: float
    ram_gb: float


Advisor = dict[tuple[str, str], list[tuple[datetime, Advice]]]


@dataclass(frozen=True, slots=True)
class Trace:
    """Run-length coded availability of one type in one zone: `values[i]` instances from `offsets[i]` seconds on."""

    kind: str
    name: str
    zone: str
    instance: str
    offsets: list[float]
    values: list[int]
    prices: list[float | None]
    end: float


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="")
    return path.open(newline="")


def _rows(path: Path, columns: set[str]) -> Iterator[dict[str, str]]:
    with _opened(path) as stream:
        reader = csv.DictReader(stream)
        missing = columns - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: no column {', '.join(sorted(missing))}")
        yield from reader


def read_prices(path: Path) -> list[Series]:
    found: dict[tuple[str, str, str], tuple[list[float], list[float]]] = {}
    columns = {"timestamp", "region", "az", "instance_type", "price_usd_per_hour"}
    for row in _rows(path, columns):
        times, prices = found.setdefault((row["region"], row["az"], row["instance_type"]), ([], []))
        times.append(datetime.fromisoformat(row["timestamp"]).timestamp())
        prices.append(float(row["price_usd_per_hour"]))
    series = []
    for (region, az, instance_type), (times, prices) in sorted(found.items()):
        order = sorted(range(len(times)), key=times.__getitem__)
        series.append(Series(region, az, instance_type, [times[i] for i in order], [prices[i] for i in order]))
    return series


def read_ondemand(path: Path, year: int) -> dict[tuple[str, str], float]:
    """{(region, type): USD per hour} of the era (`2015`, `2018..2026`) nearest to `year`."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for row in _rows(path, {"region", "instance_type", "ondemand_usd_per_hour", "era"}):
        first, _, last = row["era"].partition("..")
        distance = max(int(first) - year, year - int(last or first), 0)
        key = (row["region"], row["instance_type"])
        if key not in found or distance < found[key][0]:
            found[key] = (distance, float(row["ondemand_usd_per_hour"]))
    return {key: price for key, (_, price) in found.items()}


def read_advisor(path: Path) -> Advisor:
    advisor: Advisor = defaultdict(list)
    for row in _rows(path, {"date", "region", "instance_type", "bucket", "vcpu", "ram_gb"}):
        day = datetime.fromisoformat(row["date"]).replace(tzinfo=UTC)
        advice = Advice(int(row["bucket"]), float(row["vcpu"] or 0), float(row["ram_gb"] or 0))
        advisor[row["region"], row["instance_type"]].append((day, advice))
    return dict(advisor)


def nearest_advice(advisor: Advisor, region: str, instance_type: str, at: datetime) -> Advice | None:
    """Of the snapshot nearest in time; None where AWS publishes nothing."""
    snapshots = advisor.get((region, instance_type))
    return min(snapshots, key=lambda item: abs(item[0] - at))[1] if snapshots else None


def read_availability(path: Path) -> list[Trace]:
    grouped: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in _rows(path, {"kind", "nodes", "trace", "zone", "instance", "offset_s", "value"}):
        grouped[row["kind"], row["nodes"], row["trace"], row["zone"], row["instance"]].append(row)
    traces = []
    for (kind, _, name, zone, instance), rows in sorted(grouped.items()):
        rows.sort(key=lambda row: float(row["offset_s"]))
        runs = [row for row in rows if int(row["value"]) >= 0]
        traces.append(
            Trace(
                kind=kind,
                name=name,
                zone=zone,
                instance=instance,
                offsets=[float(row["offset_s"]) for row in runs],
                values=[int(row["value"]) for row in runs],
                prices=[float(text) if (text := row.get("price_usd_per_hour")) else None for row in runs],
                end=float(rows[-1]["offset_s"]),
            )
        )
    return traces
