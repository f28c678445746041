from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clients.errors import ClientNotFound
from clients.export import export_client
from clients.services import get_client


class Command(BaseCommand):
    help = "Write all data of one client into a zip of JSON lines, one file per table. Secrets are left out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", help="its id")
        parser.add_argument("--out", type=Path, required=True, metavar="FILE.zip", help="must not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client = get_client(public_id=options["client"])
        except ClientNotFound:
            raise CommandError(f"There is no client {options['client']}") from None
        target: Path = options["out"]
        if target.exists():
            raise CommandError(f"{target} exists already")
        counts = export_client(client=client, target=target, progress=self._say)
        for name, number in counts.items():
            self.stdout.write(f"{number:>10,} {name}")
        self.stdout.write(f"All data of {client.name} is in {target}")

    def _say(self, name: str, count: int) -> None:
        self.stdout.write(f"{count:>10,} {name} …")
