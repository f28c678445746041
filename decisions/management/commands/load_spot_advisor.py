import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from decisions.services.spot_advice import NotSpotAdvisorData, load_spot_advice


class Command(BaseCommand):
    help = "Read AWS's spot advisor file (spot-advisor-data.json): how often instances of each type are interrupted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--system", default="Linux", choices=["Linux", "Windows"])

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            count = load_spot_advice(data=json.loads(path.read_bytes()), operating_system=options["system"])
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from error
        except (json.JSONDecodeError, UnicodeDecodeError, NotSpotAdvisorData) as error:
            raise CommandError(f"{path} is not the spot advisor's file. {error}") from error
        self.stdout.write(f"{count} types and regions.")
