"""Spot prices as step functions and on-demand list prices; all in USD per hour."""

import bisect
import csv
import gzip
import io
import itertools
import json
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

PRODUCTS = ("", "Linux/UNIX", "Linux/UNIX (Amazon VPC)")
NO_DATA_AFTER = 48 * 3600  # AWS repeats an unchanged price about daily; a longer gap means "not offered"
BACKFILL = 24 * 3600  # so the first row of a file may stand for up to a day before it

# us-east-1 list prices of 2018..2026, as in AWS's public price list
BUILT_IN_ONDEMAND = {
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
    "m5.large": 0.096,
    "m5.xlarge": 0.192,
    "c5.large": 0.085,
    "c5.xlarge": 0.17,
    "r5.large": 0.126,
    "r5.xlarge": 0.252,
}


class BadPrices(Exception):
    """The text says which file or option, and what to do."""


@dataclass(frozen=True, order=True)
class Pool:
    instance_type: str
    az: str
    region: str

    @property
    def id(self) -> str:
        return f"{self.instance_type}.{self.az}"


@dataclass
class Series:
    """The price of one pool: `prices[i]` holds from `times[i]` until `times[i + 1]`."""

    times: list[float] = field(default_factory=list)
    prices: list[float] = field(default_factory=list)

    def at(self, when: float) -> float:
        """Before the first point: the first price."""
        return self.prices[max(0, bisect.bisect_right(self.times, when) - 1)]

    def cost(self, start: float, end: float) -> float:
        """USD for one instance from `start` to `end`, billed per second at the price of the moment."""
        total, at = 0.0, start
        for change in self.times[bisect.bisect_right(self.times, start) : bisect.bisect_left(self.times, end)]:
            total += self.at(at) * (change - at) / 3600
            at = change
        return total + self.at(at) * max(0.0, end - at) / 3600

    def covers(self, start: float, end: float) -> bool:
        if not self.times or self.times[0] > start + BACKFILL:
            return False
        inside = [t for t in self.times if start < t < end]
        stations = [max(start, self.times[0]), *inside, end]
        return all(b - a <= NO_DATA_AFTER for a, b in itertools.pairwise(stations))

    def next_change(self, after: float) -> float | None:
        """When the price really changes; a repeated row is none."""
        for index in range(bisect.bisect_right(self.times, after), len(self.times)):
            if index and self.prices[index] != self.prices[index - 1]:
                return self.times[index]
        return None


@dataclass
class PriceBook:
    series: dict[Pool, Series]
    ondemand: dict[tuple[str, str], float]  # by (region, type)

    def pools(self, instance_type: str, region: str) -> list[Pool]:
        return self._by_type.get((region, instance_type), [])

    def __post_init__(self) -> None:
        self._by_type: dict[tuple[str, str], list[Pool]] = {}
        for pool in sorted(self.series):
            self._by_type.setdefault((pool.region, pool.instance_type), []).append(pool)

    def spot(self, pool: Pool, when: float) -> float:
        return self.series[pool].at(when)

    def limited_to(self, start: float, end: float, *, types: int, region: str = "") -> "PriceBook":
        """The `types` instance types of one region with the most zones, each with data all the time."""
        complete = {
            pool: series
            for pool, series in self.series.items()
            if (pool.region, pool.instance_type) in self.ondemand
            and (not region or pool.region == region)
            and series.covers(start, end)
        }
        zones: dict[tuple[str, str], int] = {}
        for pool in complete:
            zones[pool.region, pool.instance_type] = zones.get((pool.region, pool.instance_type), 0) + 1
        if not zones:
            raise BadPrices("No instance type has spot prices for the whole run and a known on-demand price.")
        by_region: dict[str, int] = {}
        for (name, _), count in zones.items():
            by_region[name] = by_region.get(name, 0) + count
        best = max(sorted(by_region), key=lambda name: by_region[name])
        changes = {
            key: sum(len(s.times) for p, s in complete.items() if (p.region, p.instance_type) == key) for key in zones
        }
        ranked = sorted((k for k in zones if k[0] == best), key=lambda k: (-zones[k], -changes[k], k))
        chosen = set(ranked[:types])
        series = {p: s for p, s in complete.items() if (p.region, p.instance_type) in chosen}
        return PriceBook(series, {k: v for k, v in self.ondemand.items() if k in chosen})


def read_spot_prices(path: Path) -> dict[Pool, Series]:
    """JSON of `aws ec2 describe-spot-price-history`, or CSV with a header; either may be gzipped.

    Rows without a usable time, zone, type or price, and those of other products than Linux, are left out and counted
    in a warning.
    """
    text = read_text(path)
    rows = list(_json_rows(text) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text))
    points: dict[Pool, dict[float, float]] = {}
    for at, pool, price in filter(None, rows):
        points.setdefault(pool, {})[at] = price
    if not points:
        raise BadPrices(f"{path} has no usable spot price: expected timestamp, region, az, instance_type, price.")
    if left_out := rows.count(None):
        reasons = "no usable time, zone, type or price, or another product than Linux"
        logger.warning("%s: %d of %d rows are left out (%s)", path, left_out, len(rows), reasons)
    return {pool: Series(*map(list, zip(*sorted(values.items()), strict=True))) for pool, values in points.items()}


def read_ondemand(path: Path, *, year: int) -> dict[tuple[str, str], float]:
    """CSV with region, instance_type, ondemand_usd_per_hour and optionally `era`, a year or `2018..2026`."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for row in csv.DictReader(io.StringIO(read_text(path))):
        price = _number(row.get("ondemand_usd_per_hour") or row.get("price"))
        era = (row.get("era") or "").split("..")
        if price is None:
            continue
        distance = min(abs(year - y) for y in range(int(era[0]), int(era[-1]) + 1)) if era[0].isdigit() else 0
        key = (row.get("region") or "", row.get("instance_type") or "")
        if key not in found or distance < found[key][0]:
            found[key] = (distance, price)
    if not found:
        raise BadPrices(f"{path} has no usable on-demand price: expected region, instance_type, ondemand_usd_per_hour.")
    return {key: price for key, (_, price) in found.items()}


def built_in_ondemand(region: str) -> dict[tuple[str, str], float]:
    return {(region, name): price for name, price in BUILT_IN_ONDEMAND.items()}


def read_text(path: Path) -> str:
    """Of a file that may be gzipped. Raises BadPrices."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadPrices(f"{path} cannot be read: {error}") from error


Row = tuple[float, Pool, float] | None  # None: unusable


def _json_rows(text: str) -> Iterator[Row]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadPrices(f"The price file is no valid JSON: {error}") from error
    items: Any = document.get("SpotPriceHistory", []) if isinstance(document, dict) else document
    for item in items:
        if isinstance(item, dict):
            names = ("Timestamp", "AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice")
            time, az, instance_type, product, price = (str(item.get(name) or "") for name in names)
            yield _row(time, "", az, instance_type, product, price)


def _csv_rows(text: str) -> Iterator[Row]:
    for line in csv.DictReader(io.StringIO(text)):
        row = {(name or "").strip().lower(): value or "" for name, value in line.items() if isinstance(value, str)}
        az = row.get("az") or row.get("availability_zone") or ""
        price = row.get("price") or row.get("price_usd_per_hour") or row.get("spot_price") or ""
        product = row.get("product") or ""
        yield _row(
            row.get("timestamp") or "", row.get("region") or "", az, row.get("instance_type") or "", product, price
        )


def _row(time: str, region: str, az: str, instance_type: str, product: str, price: str) -> Row:
    at, amount = _seconds(time), _number(price)
    if at is None or amount is None or not az or not instance_type or product not in PRODUCTS:
        return None
    return at, Pool(instance_type, az, region or az.rstrip("abcdefghijklmnopqrstuvwxyz")), amount


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _seconds(text: str) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return _number(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
