"""A database like an old installation's, beside the test database on the same server."""

import json
from io import StringIO
from pathlib import Path

import MySQLdb
import pytest
import time_machine
from django.core.management import call_command
from django.db import connection

SCHEMA = Path(__file__).with_name("schema.sql")
NOW = "2026-01-05 12:00:00"
EARLIER = "2026-01-05 11:59:30"
SHOP, LAB = "c1c1c1c1-0000-4000-8000-000000000001", "c2c2c2c2-0000-4000-8000-000000000002"
SHOP_TOKEN, LAB_TOKEN = "token-old-shop-0123456789abcdef", "token-old-lab-0123456789abcdef"
WEB = "a1a1a1a1-0000-4000-8000-000000000001"


class Legacy:
    def __init__(self):
        known = connection.settings_dict
        self.name = f"{known['NAME']}_legacy"
        self.host, self.port = known["HOST"], int(known["PORT"])
        self.user, self.password = known["USER"], known["PASSWORD"]
        self.connection = MySQLdb.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, charset="utf8mb4", autocommit=True
        )

    def create(self):
        self.execute(f"DROP DATABASE IF EXISTS `{self.name}`")
        self.execute(f"CREATE DATABASE `{self.name}` CHARACTER SET utf8mb4")
        self.connection.select_db(self.name)
        self.execute("SET SESSION sql_mode = ''")  # as old installations run: zero dates and cut texts get in
        for statement in SCHEMA.read_text().split(";\n"):
            if "CREATE TABLE" in statement:
                self.execute(statement)

    def execute(self, sql, args=None):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    def add(self, table, **values):
        columns = ", ".join(f"`{name}`" for name in values)
        places = ", ".join(["%s"] * len(values))
        self.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(values.values()))

    def drop(self):
        self.execute(f"DROP DATABASE IF EXISTS `{self.name}`")
        self.connection.close()

    def add_client(self, client_id=SHOP, **changes):
        known = {"name": "Shop", "email": "shop@example.com", "client_token": SHOP_TOKEN, "created_at": "2025-01-05"}
        self.add("clients", **{"id": client_id, **known, **changes})

    def add_agent(self, agent_id=WEB, **changes):
        known = {
            "client_id": SHOP,
            "logical_agent_id": "web",
            "hostname": "web-host",
            "instance_id": "i-0aaa",
            "instance_type": "t3.medium",
            "region": "us-east-1",
            "az": "us-east-1a",
            "current_mode": "spot",
            "current_pool_id": "t3.medium.us-east-1a",
            "agent_version": "4.0.0",
            "status": "online",
            "last_heartbeat_at": EARLIER,
            "created_at": "2025-02-01",
            "installed_at": "2025-02-01",
        }
        self.add("agents", **{"id": agent_id, **known, **changes})

    def add_instance(self, instance_id="i-0aaa", **changes):
        known = {
            "client_id": SHOP,
            "agent_id": WEB,
            "instance_type": "t3.medium",
            "region": "us-east-1",
            "az": "us-east-1a",
            "current_mode": "spot",
            "instance_status": "running_primary",
            "is_primary": 1,
            "is_active": 1,
            "created_at": "2025-02-01",
            "installed_at": "2025-02-01",
        }
        self.add("instances", **{"id": instance_id, **known, **changes})

    def add_switch(self, switch_id, **changes):
        known = {"client_id": SHOP, "agent_id": WEB, "old_instance_id": "i-0old", "new_instance_id": "i-0aaa"}
        known |= {"old_mode": "ondemand", "new_mode": "spot", "new_pool_id": "t3.medium.us-east-1a"}
        known |= {"event_trigger": "manual", "timestamp": "2026-01-03 10:00:00", "savings_impact": "0.0288"}
        self.add("switches", **{"id": switch_id, **known, **changes})

    def add_prices(self, pool_id, prices, table="spot_price_snapshots"):
        """`prices`: (time, price)."""
        with self.connection.cursor() as cursor:
            (start,) = self.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}")[0]
            rows = [(start + n, pool_id, price, at, at) for n, (at, price) in enumerate(prices, 1)]
            sql = f"INSERT INTO {table} (id, pool_id, price, captured_at, recorded_at) VALUES (%s, %s, %s, %s, %s)"
            cursor.executemany(sql, rows)

    def add_small_fleet(self):
        """One client with one agent on one spot instance."""
        self.add_client()
        self.add_agent()
        self.add_instance()


@pytest.fixture(scope="session")
def legacy_server(django_db_setup, django_db_blocker):
    server = Legacy()
    yield server
    server.drop()


@pytest.fixture
def legacy(legacy_server, monkeypatch):
    legacy_server.create()
    address = f"{legacy_server.host}:{legacy_server.port}/{legacy_server.name}"
    monkeypatch.setenv("LEGACY_DATABASE_URL", f"mysql://{legacy_server.user}:{legacy_server.password}@{address}")
    return legacy_server


@pytest.fixture(autouse=True)
def traveller():
    with time_machine.travel(f"{NOW}Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def run(tmp_path):
    """`run("--dry-run")` → the report, with the printed text under "text"."""

    def run(*options):
        out, file = StringIO(), tmp_path / "report.json"
        call_command("import_legacy", *options, "--json", str(file), stdout=out)
        return json.loads(file.read_text()) | {"text": out.getvalue()}

    return run
