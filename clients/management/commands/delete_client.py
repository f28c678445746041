import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clients.errors import ClientNotFound
from clients.models import Client
from clients.ownership import rows_of
from clients.services import delete_client, get_client

EVERY_SECONDS = 5


class Command(BaseCommand):
    help = "Delete a client with everything it owns, in small batches. May be cut short and repeated."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", help="its id")
        parser.add_argument("--dry-run", action="store_true", help="count what would be deleted, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client = get_client(public_id=options["client"])
        except ClientNotFound:
            raise CommandError(f"There is no client {options['client']}") from None
        if options["dry_run"]:
            self._count(client)
            return
        if not options["yes"]:
            self._ask(client)
        self._deleted, self._said_at = 0, time.monotonic()
        delete_client(client=client, actor="delete_client", on_batch=self._say)
        self.stdout.write(f"Client {client.name} was deleted with {self._deleted:,} rows")

    def _count(self, client: Client) -> None:
        for rows in rows_of(client):
            if number := rows.count():
                self.stdout.write(f"{number:>10,} {rows.model._meta.db_table}")
        self.stdout.write(f"Client {client.name} would be deleted with these rows")

    def _ask(self, client: Client) -> None:
        try:
            said = input(f"This deletes {client.name} with its agents and all history. Its name, to confirm: ")
        except EOFError:
            said = ""
        if said.strip() != client.name:
            raise CommandError("Nothing was deleted: the name did not match. Scripts use --yes")

    def _say(self, number: int) -> None:
        self._deleted += number
        if time.monotonic() - self._said_at > EVERY_SECONDS:
            self.stdout.write(f"{self._deleted:>10,} rows …")
            self._said_at = time.monotonic()
