from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from clients.services import rotate_keys, rotate_webhook_secrets


class Command(BaseCommand):
    help = (
        "Rewrite every client token with the first entry of TOKEN_PEPPERS and TOKEN_ENCRYPTION_KEYS. Agents notice "
        "nothing. May be cut short and repeated; when all are current, older entries can be removed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count only, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotate_keys(dry_run=options["dry_run"])
        verb = "would be rewritten" if options["dry_run"] else "rewritten"
        self.stdout.write(f"{done.rewritten} tokens {verb}, {done.current} were current already")
        if not options["dry_run"] and (secrets := rotate_webhook_secrets()):
            self.stdout.write(f"{secrets} signing secrets of webhooks rewritten")
        if done.unreadable:
            names = ", ".join(done.unreadable)
            self.stderr.write(
                f"{len(done.unreadable)} cannot be decrypted with any of TOKEN_ENCRYPTION_KEYS: {names}. Keep their "
                "pepper, or make new tokens for them."
            )
