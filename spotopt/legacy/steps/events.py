from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, QuerySet

from analytics.models import ImportCheckpoint
from clients.models import Client
from notifications.models import SystemEvent
from spotopt.legacy.rows import Row, Skip
from spotopt.legacy.steps.notifications import TOO_OLD, severity_of
from spotopt.legacy.tables import BATCH, Step, batched

LEGACY_ID = "legacy_id"
COLUMNS = ("id", "event_type", "severity", "client_id", "agent_id", "instance_id", "message", "metadata", "created_at")


class Events(Step):
    """By number: a batch and how far it goes are stored together. Events of clients that are gone are no tenant's."""

    label = "system_events"

    def run(self) -> None:
        done = ImportCheckpoint.of(self.label)
        self._recall(done)
        self._prepare()
        total = self.source.count(self.label)
        above = ("id", done.position.get("id", -1))
        for batch in batched(self.source.rows(self.label, COLUMNS, order=["id"], above=above), BATCH):
            events = self._converted(batch)
            self.tally.moved += len(events)
            skipped = {reason: found.count for reason, found in self.tally.skipped.items()}
            moved = self.tally.already + self.tally.moved
            with transaction.atomic():
                SystemEvent.objects.bulk_create(events)
                done.advance({"id": batch[-1]["id"], "moved": moved, "skipped": skipped})
            self.progress(self.label, self.tally.read, total)

    def _recall(self, done: ImportCheckpoint) -> None:
        """What earlier runs have read."""
        self.tally.already = done.position.get("moved", 0)
        for reason, number in done.position.get("skipped", {}).items():
            self.tally.skip(reason, count=number)
        self.tally.read = self.tally.already + self.tally.skipped_rows

    def check(self) -> None:
        """Counts by type: an event has no other name, and nobody changes one."""
        self._prepare()
        wanted: dict[str, int] = {}
        for batch in batched(self.source.rows(self.label, COLUMNS, order=["id"]), BATCH):
            for event in self._converted(batch):
                wanted[event.event_type] = wanted.get(event.event_type, 0) + 1
        here = self._here().order_by().values_list("event_type").annotate(number=Count("pk"))
        found = dict(here.filter(created_at__gte=self._before))
        for event_type in sorted(wanted.keys() | found.keys()):
            if wanted.get(event_type, 0) != found.get(event_type, 0):
                text = f"{event_type}: {wanted.get(event_type, 0)} there, {found.get(event_type, 0)} here"
                self.tally.differ(text)

    def _here(self) -> QuerySet[SystemEvent]:
        return SystemEvent.objects.filter(metadata__has_key=LEGACY_ID)

    def _prepare(self) -> None:
        self._clients = dict(Client.objects.values_list("public_id", "pk"))
        self._before = self.now - timedelta(days=settings.EVENT_RETENTION_DAYS)

    def _converted(self, batch: list[dict[str, Any]]) -> list[SystemEvent]:
        events = []
        for values in batch:
            self.tally.read += 1
            example = str(values["id"])
            try:
                events.append(self._convert(Row(values, lambda text, e=example: self.tally.note(text, e))))  # type: ignore[misc]
            except Skip as reason:
                self.tally.skip(str(reason), example)
        return events

    def _convert(self, row: Row) -> SystemEvent:
        created_at: datetime | None = row.time("created_at")
        if created_at is None:
            raise Skip("no time")
        if created_at < self._before:
            raise Skip(TOO_OLD)
        metadata = row.json("metadata") | {LEGACY_ID: row.values["id"]}
        client_id = row.text("client_id", 64)
        client = self._clients.get(client_id)
        if client_id and client is None:
            row.note("its client is not there: kept without one")
            metadata["client_id"] = client_id
        return SystemEvent(
            client_id=client,
            event_type=row.text("event_type", 64) or "unknown",
            severity=severity_of(row),
            agent_id=row.text("agent_id", 64),
            instance_id=row.text("instance_id", 64),
            message=row.prose("message"),
            metadata=metadata,
            created_at=created_at,
        )
