import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.models import Agent
from spotopt.benchmarks.history import HistoryLoader, Sizes

EVERY_SECONDS = 5


class Command(BaseCommand):
    help = "Fill an empty database with the made-up history of a large fleet, for benchmarks. Never for production."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--clients", type=int, default=20)
        parser.add_argument("--agents", type=int, default=10_000)
        parser.add_argument("--price-points", type=int, default=2_000_000)
        parser.add_argument("--events", type=int, default=1_000_000)
        parser.add_argument("--switches", type=int, default=100_000)
        parser.add_argument("--ledger-hours", type=int, default=72, help="per agent")
        parser.add_argument("--days", type=int, default=90, help="that prices, events and switches spread over")
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        if Agent.objects.exists():
            raise CommandError("This database already has agents. load_history only fills an empty, migrated one.")
        sizes = Sizes(**{name: options[name] for name in Sizes.__dataclass_fields__})
        started = self._said_at = time.monotonic()
        HistoryLoader(sizes=sizes, seed=options["seed"], progress=self._say).load()
        self.stdout.write(f"Loaded in {time.monotonic() - started:.0f} s.")

    def _say(self, what: str, count: int, is_done: bool) -> None:
        if is_done or time.monotonic() - self._said_at > EVERY_SECONDS:
            self.stdout.write(f"{count:>10,} {what}{'' if is_done else ' …'}")
            self.stdout.flush()
            self._said_at = time.monotonic()
