from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from spotopt.backups import BackupFailed, make_backup


class Command(BaseCommand):
    help = "Write a consistent copy of the database while the server runs. It needs the keys in .env to be of use."
    requires_system_checks = []  # a backup is most wanted when something is wrong

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path)
        parser.add_argument("--keep", type=int, default=0, help="delete all but the newest so many (default: none)")

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["directory"]
        if not directory.is_dir():
            raise CommandError(f"There is no directory {directory}")
        try:
            file = make_backup(directory, keep=max(0, options["keep"]))
        except BackupFailed as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{file} ({file.stat().st_size:,} bytes)")
