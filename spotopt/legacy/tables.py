"""What all tables have in common: read, convert, keep what is not here yet, a batch per transaction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

from django.db import models, transaction

from agents.models import Agent
from clients.models import Client
from spotopt.common import clock
from spotopt.legacy.report import Report
from spotopt.legacy.rows import Row, Skip
from spotopt.legacy.source import Source

M = TypeVar("M", bound=models.Model)
T = TypeVar("T")
BATCH = 500
Key = tuple[Any, ...]
Progress = Callable[[str, int, int], None]  # (what, how many so far, of how many)


class Step(ABC):
    """One step of the import."""

    label: ClassVar[str]

    def __init__(self, source: Source, report: Report, progress: Progress) -> None:
        self.source, self.progress = source, progress
        self.tally = report.tally(self.label)
        self.now = clock.now()

    @abstractmethod
    def run(self) -> None: ...

    @abstractmethod
    def check(self) -> None:
        """Note what is different on the two sides."""


class Table(Step, Generic[M]):
    """A table of the old server that becomes rows of one model, each found again by `key_of`."""

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    order: ClassVar[tuple[str, ...]] = ("id",)
    model: type[M]
    compared: ClassVar[tuple[str, ...]]  # fields that nobody changes between the import and its check

    def prepare(self) -> None:
        """Look at what has to be known before the first row can be judged."""

    def parts(self) -> Iterable[Iterable[dict[str, Any]]]:
        """The old rows; a part is stored before the next is converted."""
        return [self.source.rows(self.name, self.columns, order=self.order)]

    @abstractmethod
    def convert(self, row: Row) -> M:
        """Raises Skip."""

    @abstractmethod
    def key_of(self, item: M) -> Key: ...

    @abstractmethod
    def existing(self, items: list[M]) -> dict[Key, M]:
        """Those of `items` that are here already, by key."""

    def store(self, items: list[M]) -> None:
        """Inside a transaction."""
        self.model._default_manager.bulk_create(items)

    def run(self) -> None:
        for items in self._converted():
            here = self.existing(items)
            new = [item for item in items if self.key_of(item) not in here]
            if new:
                with transaction.atomic():
                    self.store(new)
            self.tally.moved += len(new)
            self.tally.already += len(items) - len(new)

    def check(self) -> None:
        for items in self._converted():
            here = self.existing(items)
            for item in items:
                found = here.get(self.key_of(item))
                if found is None:
                    self.tally.differ("not here", example_of(item))
                    continue
                for name in self.different(item, found):
                    self.tally.differ(f"{name} differs", example_of(item))

    def different(self, item: M, found: M) -> Iterator[str]:
        yield from (name for name in self.compared if getattr(item, name) != getattr(found, name))

    def _converted(self) -> Iterator[list[M]]:
        self.prepare()
        total = self.source.count(self.name)
        seen: set[Key] = set()
        for part in self.parts():
            for batch in batched(part, BATCH):
                items = [item for values in batch if (item := self._convert(values, seen)) is not None]
                yield items
                self.progress(self.label, self.tally.read, total)

    def _convert(self, values: dict[str, Any], seen: set[Key]) -> M | None:
        self.tally.read += 1
        example = str(values.get(self.order[0]) or "")[:80]
        try:
            item = self.convert(Row(values, lambda text: self.tally.note(text, example)))
            key = self.key_of(item)
            if key in seen:
                raise Skip("the same one was there before")
        except Skip as reason:
            self.tally.skip(str(reason), example)
            return None
        seen.add(key)
        return item


class ByPublicId(Table[M]):
    """The old id is the public id here."""

    def key_of(self, item: M) -> Key:
        return (item.public_id,)  # type: ignore[attr-defined]

    def existing(self, items: list[M]) -> dict[Key, M]:
        found = self.model._default_manager.filter(public_id__in=[self.key_of(item)[0] for item in items])
        return {self.key_of(item): item for item in found}

    def id_of(self, row: Row) -> str:
        found = row.key("id")
        if not found:
            raise Skip("no id")
        return found


class Owners:
    """Clients and agents that are here, by their old ids."""

    def __init__(self) -> None:
        self.clients: dict[str, int] = dict(Client.objects.values_list("public_id", "pk"))
        self._agents: dict[str, tuple[int, int]] = {}
        for public_id, pk, client, merged in Agent.objects.values_list("public_id", "pk", "client", "merged_into"):
            self._agents[public_id] = (merged or pk, client)

    def client(self, row: Row, column: str = "client_id") -> int:
        """Raises Skip."""
        pk = self.clients.get(row.key(column))
        if pk is None:
            raise Skip("its client is not there")
        return pk

    def agent(self, row: Row, column: str = "agent_id", *, client: int | None = None) -> tuple[int, int]:
        """(agent, client); an agent that was merged into another is that one. Raises Skip."""
        pk, owner = self._agents.get(row.key(column), (0, 0))
        if not pk:
            raise Skip("its agent is not there")
        if client is not None and client != owner:
            raise Skip("its agent is another client's")
        return pk, owner

    def find_agent(self, agent_id: str, *, client: int) -> int | None:
        pk, owner = self._agents.get(agent_id, (0, 0))
        return pk if pk and owner == client else None


def example_of(item: models.Model) -> str:
    return str(getattr(item, "public_id", None) or getattr(item, "instance_id", None) or item)


def time_or_now(row: Row, at: datetime | None, now: datetime) -> datetime:
    """For columns that need a time."""
    if at is None:
        row.note("no time of creation: the time of the import stands for it")
    return at or now


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
