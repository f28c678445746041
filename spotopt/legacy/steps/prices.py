"""Prices: every snapshot goes through the rule of live reports, and what is kept are the change points."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, Self

from django.conf import settings
from django.db import transaction

from analytics.models import ImportCheckpoint
from instances.services import price_backfill
from instances.services.price_news import Known, Sighting
from spotopt.common.wire import MAX_FUTURE, clean_time
from spotopt.legacy.rows import Row
from spotopt.legacy.tables import Step

Seen = tuple[datetime, Decimal]


@dataclass(frozen=True)
class Series:
    """The snapshots of one price: `where` selects them in each of the tables, which have a time column each."""

    key: str  # of its checkpoint
    rows: int
    tables: tuple[tuple[str, str], ...]
    where: dict[str, str]


@dataclass
class Counts:
    """Of one series. What is skipped `after` the last one moved is read again by the next run."""

    moved: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)

    def add_moved(self) -> None:
        self.moved += 1
        if self.after:
            self.skipped.update(self.after)
            self.after.clear()

    def as_json(self) -> dict[str, Any]:
        return {"moved": self.moved, "skipped": dict(self.skipped)}

    @classmethod
    def from_json(cls, position: dict[str, Any]) -> Self:
        return cls(position.get("moved", 0), Counter(position.get("skipped", {})))


class Prices(Step):
    """A series per transaction, together with how far it got. `moved` counts snapshots, the note rows of history."""

    @abstractmethod
    def series(self) -> list[Series]: ...

    @abstractmethod
    def find(self, series: Series) -> Known | None:
        """The price here, if there is one."""

    @abstractmethod
    def make(self, series: Series, past: Known) -> Known: ...

    @abstractmethod
    def blank(self, **state: Any) -> Known: ...

    def refusal(self, series: Series) -> str:
        """Why no snapshot of it can be kept; empty where they can."""
        return ""

    def is_guess(self, price: Decimal) -> bool:
        return False

    def run(self) -> None:
        for series in self._usable():
            self._move(series)

    def _usable(self) -> Iterator[Series]:
        found = self.series()
        total, done = sum(series.rows for series in found), 0
        for series in found:
            if reason := self.refusal(series):
                self.tally.read += series.rows
                self.tally.skip(reason, series.key, series.rows)
            else:
                yield series
            done += series.rows
            self.progress(self.label, done, total)

    def _move(self, series: Series) -> None:
        done = ImportCheckpoint.of(series.key)
        past = self._past(done)
        known = self.find(series)
        until = price_backfill.first_row_after(known, past.last_confirmed_at) if known else None
        counts = Counts.from_json(done.position)
        already = counts.moved
        seen = self._seen(series, since=past.last_confirmed_at, until=until, counts=counts)
        rows = price_backfill.replay(past, (Sighting(price, at, at) for at, price in seen))
        if counts.moved > already:
            with transaction.atomic():
                price_backfill.store(known=known or self.make(series, past), past=past, rows=rows)
                done.advance(counts.as_json() | {"past": _as_json(past)})
            self.tally.note("rows of history", count=len(rows))
        self.tally.already += already
        self.tally.moved += counts.moved - already
        skipped = counts.skipped + counts.after
        self.tally.read += counts.moved + skipped.total()
        for reason, number in skipped.items():
            self.tally.skip(reason, series.key, number)

    def check(self) -> None:
        """At the time of every snapshot the price that is in effect here is the snapshot's."""
        for series in self._usable():
            self.tally.read += series.rows
            done, known = ImportCheckpoint.of(series.key), self.find(series)
            confirmed_at = self._past(done).last_confirmed_at
            until = price_backfill.first_row_after(known, confirmed_at) if known else None
            here = list(known.history.order_by("at").values_list("at", "price")) if known else []
            seen = self._seen(series, since=None, until=until, counts=Counts())
            for text in self._different(seen, here, confirmed_at):
                self.tally.differ(text, series.key)

    def _different(self, seen: Iterator[Seen], here: list[Seen], confirmed_at: datetime | None) -> Iterator[str]:
        pruned = self.now - timedelta(days=settings.PRICE_RETENTION_DAYS)
        index, price = 0, None
        for at, quotes in groupby(seen, itemgetter(0)):
            (*_, (_, expected)) = quotes
            while index < len(here) and here[index][0] <= at:
                price, index = here[index][1], index + 1
            if confirmed_at is None or at > confirmed_at:
                yield "snapshots are not here"
            elif price != expected and not (price is None and at < pruned):
                yield "the price in effect differs"

    def _past(self, done: ImportCheckpoint) -> Known:
        state = dict(done.position.get("past", {}))
        if not state:
            return self.blank()
        price = Decimal(state.pop("price"))
        return self.blank(price=price, **{name: clean_time(value) for name, value in state.items()})

    def _seen(
        self, series: Series, *, since: datetime | None, until: datetime | None, counts: Counts
    ) -> Iterator[Seen]:
        """Oldest first, those after `since` and before `until`."""
        for values in self._snapshots(series, since):
            row = Row(values)
            at, price = row.time("at"), row.price("price")
            if at is None:
                counts.after["no time"] += 1
            elif at > self.now + MAX_FUTURE:
                counts.after["a time in the future"] += 1
            elif price is None:
                counts.after["no price"] += 1
            elif self.is_guess(price):
                counts.after["what agents sent when they did not know"] += 1
            elif until is not None and at >= until:
                counts.after["prices of that time are here already"] += 1
            else:
                counts.add_moved()
                yield at, price

    def _snapshots(self, series: Series, since: datetime | None) -> Iterator[dict[str, Any]]:
        selects, args = [], []
        for table, column in series.tables:
            conditions = [f"`{name}` = %s" for name in series.where]
            args += list(series.where.values())
            if since is not None:
                conditions.append(f"`{column}` > %s")
                args.append(since.astimezone(UTC).replace(tzinfo=None))  # type: ignore[arg-type]
            selects.append(f"SELECT `{column}` AS at, price, id FROM `{table}` WHERE {' AND '.join(conditions)}")  # noqa: S608
        return self.source.query(f"{' UNION ALL '.join(selects)} ORDER BY at, id", args)

    def usable_tables(self, wanted: Mapping[str, Sequence[str]], needed: set[str]) -> tuple[tuple[str, str], ...]:
        """(table, time column) of those that have what is needed; `wanted` lists time columns by preference."""
        found = []
        for table, times in wanted.items():
            columns = self.source.columns.get(table, set())
            column = next((name for name in times if name in columns), None)
            if column and needed | {"price", "id"} <= columns:
                found.append((table, column))
        return tuple(found)


def _as_json(past: Known) -> dict[str, Any]:
    times = {name: at.isoformat() if (at := getattr(past, name)) else None for name in price_backfill.STATE[1:]}
    return {"price": str(past.price), **times}
