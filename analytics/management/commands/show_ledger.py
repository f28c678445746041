import json
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from analytics.selectors.savings import Totals, added, totals_by_role
from analytics.services import client_days, switch_tallies
from analytics.services.ledger import roll_up
from clients.models import Client
from instances.models import UsageInterval
from spotopt.common.wire import clean_time

NOTHING = added([])
COLUMNS = ("baseline_usd", "paid_usd", "savings_usd", "seconds", "priced_seconds")
HEADINGS = ("baseline $", "paid $", "savings $", "hours", "priced h")


class Command(BaseCommand):
    help = "Show what each client's instances cost, would have cost on-demand, and the difference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--client", help="only the client with this id")
        parser.add_argument("--since", type=_time, help="only from this hour on, e.g. 2026-01-31T00:00:00Z")
        parser.add_argument("--json", action="store_true", help="a list, or with --client one object")
        parser.add_argument("--no-roll-up", action="store_true", help="as of the last roll_up_ledger")
        checks = parser.add_mutually_exclusive_group()
        checks.add_argument("--check", action="store_true", help="compare the sums that pages read with the ledger")
        checks.add_argument("--repair", action="store_true", help="the same, and correct them")

    def handle(self, *args: Any, **options: Any) -> None:
        clients = Client.objects.order_by("name", "pk")
        if options["client"]:
            clients = clients.filter(public_id=options["client"])
            if not clients:
                raise CommandError(f"There is no client {options['client']}")
        if options["check"] or options["repair"]:
            self._compare(clients, is_repair=options["repair"])
            return
        if not options["no_roll_up"]:
            roll_up()
        found = totals_by_role(client_pks=[client.pk for client in clients], since=options["since"])
        rows = [(client, found.get(client.pk, {})) for client in clients]
        if options["json"]:
            accounts = [_as_json(client, roles) for client, roles in rows]
            self.stdout.write(json.dumps(accounts[0] if options["client"] else accounts, indent=2))
            return
        self.stdout.write(_line("", *HEADINGS))
        for client, roles in rows:
            self.stdout.write(_table_row(client.name, added(roles.values())))
            for role, totals in sorted(roles.items()):
                self.stdout.write(_table_row(f"  {role}", totals))

    def _compare(self, clients: Iterable[Client], *, is_repair: bool) -> None:
        """Safe beside running jobs."""
        if is_repair:
            days, tallies = client_days.rebuild(clients=clients), switch_tallies.rebuild(clients=clients)
            self.stdout.write(f"Corrected: {days} days, switches of {tallies} agents")
            return
        wrong = [*client_days.differences(clients=clients), *switch_tallies.differences(clients=clients)]
        if wrong:
            raise CommandError("\n".join([*map(str, wrong), "Correct these sums with: show_ledger --repair"]))
        self.stdout.write("All sums agree with the ledger.")


def _time(text: str) -> datetime:
    at = clean_time(text)
    if at is None:
        raise ValueError(text)
    return at


def _as_json(client: Client, roles: dict[str, Totals]) -> dict[str, Any]:
    by_role = {role: _numbers(roles.get(role, NOTHING)) for role in UsageInterval.Role.values}
    return {"client_id": client.public_id, "name": client.name, **_numbers(added(roles.values())), "by_role": by_role}


def _numbers(totals: Totals) -> dict[str, float]:
    """Sums over what is priced: 0 where nothing is, which `priced_seconds` tells."""
    return {name: float(getattr(totals, name) or 0) for name in COLUMNS}


def _table_row(title: str, totals: Totals) -> str:
    money = [_cell(getattr(totals, name), 4) for name in COLUMNS[:3]]
    return _line(title, *money, *(_cell(getattr(totals, name) / 3600, 2) for name in COLUMNS[3:]))


def _cell(value: Decimal | None, places: int) -> str:
    return "unknown" if value is None else f"{value:,.{places}f}"


def _line(title: str, *cells: str) -> str:
    return f"{title[:28]:<28}" + "".join(f"{cell:>14}" for cell in cells)
