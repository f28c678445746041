"""How long the calls of the dashboard take, and which of their statements read a whole history table.

Each call is made for the largest client and for the smallest one, in one run: the difference is what size costs.
"""

import re
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.models import Count
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext, override_settings

from agents.models import Agent
from clients.models import Client

HISTORY = {
    "spot_pricing_history", "ondemand_pricing_history", "system_events", "switches", "usage_ledger", "notifications",
    "usage_intervals", "commands", "interruption_episodes",
}  # fmt: skip
TARGET_MS = 300
CLIENT, INSTANCE = "/api/client/{client_id}", "/api/client/instances/{instance_id}"
CALLS = [  # dashboard-api 4.1
    "/health",
    "/api/admin/stats",
    "/api/admin/clients",
    "/api/admin/clients/growth?days=30",
    "/api/admin/instances",
    "/api/admin/instances?status=active&mode=spot&search=m5",
    "/api/admin/agents",
    "/api/admin/activity",
    "/api/admin/system-health",
    "/api/admin/search?q=history",
    "/api/admin/pools/statistics",
    "/api/admin/agents/health-summary",
    "/api/admin/ml-models/sessions",
    "/api/notifications?limit=50",
    CLIENT,
    f"{CLIENT}/agents",
    f"{CLIENT}/agents/decisions",
    f"{CLIENT}/agents/history",
    f"{CLIENT}/instances?status=active",
    f"{CLIENT}/replicas",
    f"{CLIENT}/savings?range=monthly",
    f"{CLIENT}/switch-history",
    f"{CLIENT}/stats/charts",
    f"{CLIENT}/analytics/downtime?days=30",
    f"{CLIENT}/pricing-alerts",
    f"{CLIENT}/interruptions/summary",
    "/api/client/pricing-history?days=7&client_id={client_id}",
    f"{INSTANCE}/pricing",
    f"{INSTANCE}/metrics",
    f"{INSTANCE}/available-options",
    f"{INSTANCE}/price-history?days=7&interval=hour",
    f"{INSTANCE}/price-history?days=90&interval=hour",
    f"{INSTANCE}/pool-volatility",
    f"{INSTANCE}/logs",
]


class Command(BaseCommand):
    help = "Time every call of the dashboard for the largest and the smallest client, and explain its statements."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=20, help="calls of each address")

    @override_settings(READS_PER_MINUTE=0)  # nobody looks that often
    def handle(self, *args: Any, **options: Any) -> None:
        sizes = list(Client.objects.annotate(size=Count("agents")).filter(size__gt=0).order_by("size", "pk"))
        if not sizes:
            raise CommandError("There are no agents. Fill an empty database first: manage.py load_history")
        small, large = sizes[0], sizes[-1]
        browser = Browser(headers={"Authorization": f"Bearer {settings.ADMIN_TOKEN}"}, SERVER_NAME="localhost")
        self.stdout.write(f"large: {large.size} agents, small: {small.size}; ms, {options['rounds']} calls each")
        self.stdout.write(f"{'':68}{'large':^24}{'small':^10}")
        self.stdout.write(f"{'':66}{'p50':>8}{'p95':>8}{'queries':>9}{'p50':>8}")
        slowest = (0.0, "")
        scans: list[str] = []
        for call in CALLS:
            times, statements = self._measure(browser, call, large, options["rounds"])
            reference, _ = self._measure(browser, call, small, options["rounds"])
            p95 = times[int(len(times) * 0.95)]
            slowest = max(slowest, (p95, call))
            scans += [f"{call}\n    {scan}" for scan in full_scans(statements)]
            figures = f"{_middle(times):>8.1f}{p95:>8.1f}{len(statements):>9}{_middle(reference):>8.1f}"
            self.stdout.write(f"{call:66}{figures}")
        self.stdout.write(f"\nslowest: {slowest[1]}, p95 {slowest[0]:.0f} ms (aim: below {TARGET_MS} ms)")
        self.stdout.write("\n".join(["full scans of history tables:", *scans]) if scans else "no full scans of history")

    def _measure(
        self, browser: Browser, call: str, client: Client, rounds: int
    ) -> tuple[list[float], list[dict[str, Any]]]:
        """Milliseconds, ascending, and the statements of one more call."""
        instance_id = (
            Agent.objects.filter(client=client).exclude(instance_id="").values_list("instance_id", flat=True)[0]
        )
        path = call.format(client_id=client.public_id, instance_id=instance_id)
        with CaptureQueriesContext(connection) as captured:
            response = browser.get(path)
        if response.status_code != 200:
            raise CommandError(f"{path}: {response.status_code} {response.content[:300]!r}")
        statements = captured.captured_queries  # a slice of a log that the next request empties
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            browser.get(path)
            times.append(1000 * (time.perf_counter() - started))
        return sorted(times), statements


def full_scans(statements: list[dict[str, Any]]) -> list[str]:
    """What EXPLAIN says of statements that read all of a history table. Empty on SQLite, whose plans read otherwise."""
    if connection.vendor != "mysql":
        return []
    found = []
    for sql in (statement["sql"] for statement in statements):
        if not sql.startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            names = [column[0] for column in cursor.description]
            plan = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        for step in plan:
            is_whole = step["type"] == "ALL" or (step["type"] == "index" and not _is_short(sql))
            if is_whole and _table_of(sql, step["table"]) in HISTORY:
                found.append(f"{step['table']} ({step['type']}, {step['rows']} rows): {sql[:160]}")
    return found


def _table_of(sql: str, alias: str | None) -> str | None:
    """EXPLAIN names aliases."""
    named = re.search(rf"`(\w+)` {re.escape(alias)}\b", sql) if alias else None
    return named[1] if named else alias


def _is_short(sql: str) -> bool:
    """An ordered walk along an index that ends after LIMIT rows."""
    return " LIMIT " in sql and " ORDER BY " in sql


def _middle(times: list[float]) -> float:
    return times[len(times) // 2]
