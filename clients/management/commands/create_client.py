from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from clients.services import create_client
from spotopt.common.errors import DomainError


class Command(BaseCommand):
    help = "Create a client and print its token, which its agents need."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="unique, whatever its case")
        parser.add_argument("--email", help="of a person to write to")
        parser.add_argument("--token-only", action="store_true", help="print nothing but the token, for scripts")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client, token = create_client(name=options["name"], email=options["email"], actor="create_client")
        except DomainError as refusal:
            details = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in refusal.details.items())
            raise CommandError(details or refusal.message) from None
        if options["token_only"]:
            self.stdout.write(token)
        else:
            self.stdout.write(f"Client {client.name} ({client.public_id}) was created. Its token:\n{token}")
