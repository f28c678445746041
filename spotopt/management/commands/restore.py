from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from spotopt.backups import BackupFailed, restore_backup


class Command(BaseCommand):
    help = "Bring a backup into an empty database. Servers and jobs must not run."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tables = restore_backup(options["file"])
        except BackupFailed as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{tables} tables. Now: migrate, check --database default, show_ledger --check")
