import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from spotopt.legacy.run import check_all, import_all
from spotopt.legacy.source import Source, SourceError, find_address

EVERY_SECONDS = 5


class Command(BaseCommand):
    help = (
        "Move clients, agents, instances, history and prices from the old server's MySQL database, which is only read. "
        "May be cut short and repeated: what is here already stays as it is. See docs/migration.md."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.description = (
            "The old database is named by LEGACY_DATABASE_URL=mysql://user:password@host:3306/database, or by these "
            "options and LEGACY_DATABASE_PASSWORD; a password is never an argument."
        )
        parser.add_argument("--host")
        parser.add_argument("--port", type=int)
        parser.add_argument("--user")
        parser.add_argument("--database")
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument("--dry-run", action="store_true", help="say what would be moved, change nothing")
        mode.add_argument("--check", action="store_true", help="compare both sides; fails on a difference")
        parser.add_argument(
            "--only-prices", action="store_true", help="the large part, which may be moved while the old server runs"
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as well")

    def handle(self, *args: Any, **options: Any) -> None:
        self._said_at = time.monotonic()
        scope = {"progress": self._say, "only_prices": options["only_prices"]}
        try:
            with Source(find_address(options)) as source:
                if options["check"]:
                    report = check_all(source=source, **scope)
                else:
                    report = import_all(source=source, dry_run=options["dry_run"], **scope)
        except SourceError as error:
            raise CommandError(str(error)) from None
        for line in report.lines():
            self.stdout.write(line)
        if options["json"]:
            options["json"].write_text(json.dumps(report.as_json(), indent=2) + "\n")
        if report.differences:
            raise CommandError(f"{report.differences} differences")
        if options["check"]:
            self.stdout.write("\nBoth sides agree.")
        elif options["dry_run"]:
            self.stdout.write("\nA rehearsal: nothing was changed.")

    def _say(self, what: str, count: int, total: int) -> None:
        if time.monotonic() - self._said_at > EVERY_SECONDS:
            self.stdout.write(f"{what}: {count:,} of {total:,} …")
            self.stdout.flush()
            self._said_at = time.monotonic()
