"""All steps of an import, or of its check."""

from typing import Any

from django.db import transaction

from analytics.models import ImportCheckpoint
from notifications.models import SystemEvent
from notifications.services import emit
from spotopt.legacy.report import Report
from spotopt.legacy.source import Source, SourceError
from spotopt.legacy.steps import PRICES, STEPS
from spotopt.legacy.tables import Progress, Step, Table

ALSO_READ = {"agent_configs": ("agent_id",), "ondemand_price_snapshots": (), "spot_price_snapshots": ()}
NEEDED = ("clients", "agents")


class _Rehearsed(Exception):
    """Takes back what a dry run has written."""


def import_all(*, source: Source, progress: Progress, only_prices: bool = False, dry_run: bool = False) -> Report:
    """Move what is not here yet. A dry run does the same in one transaction, and takes it back."""
    report = _begin(source)
    steps = PRICES if only_prices else STEPS
    if dry_run:
        try:
            with transaction.atomic():
                _run(steps, source, report, progress)
                raise _Rehearsed
        except _Rehearsed:
            return report
    _run(steps, source, report, progress)
    if report.moved:
        counts = {tally.label: tally.moved for tally in report.tallies if tally.moved}
        emit(event_type="legacy_imported", message="The old server's data was moved here", metadata={"moved": counts})
    return report


def check_all(*, source: Source, progress: Progress, only_prices: bool = False) -> Report:
    report = _begin(source)
    for step in PRICES if only_prices else STEPS:
        step(source, report, progress).check()
    return report


def _run(steps: tuple[type[Step], ...], source: Source, report: Report, progress: Progress) -> None:
    for step in steps:
        step(source, report, progress).run()


def _begin(source: Source) -> Report:
    """Raises SourceError for a database that is not the old server's."""
    if source.has("django_migrations"):
        raise SourceError(f"{source.address} is a database of this server, not of the old one")
    if missing := [name for name in NEEDED if not source.has(name)]:
        raise SourceError(f"{source.address} is not the old server's database: it has no table {' and '.join(missing)}")
    report = Report(missing=sorted(_missing(source)))
    if offset := source.clock_offset():
        report.warnings.append(f"The old database's clock is {offset} off UTC: times it set itself are off, too")
    if not ImportCheckpoint.objects.exists() and SystemEvent.objects.exclude(agent_id="").exists():
        report.warnings.append("Agents were here before this import: imported events are listed after theirs")
    return report


def _missing(source: Source) -> set[str]:
    wanted: dict[str, Any] = dict(ALSO_READ)
    for step in STEPS:
        if issubclass(step, Table):
            wanted[step.name] = {*wanted.get(step.name, ()), *step.columns}
    lacking = {table for table in wanted if not source.has(table)}
    columns = {f"{table}.{c}" for table in wanted.keys() - lacking for c in set(wanted[table]) - source.columns[table]}
    return lacking | columns
