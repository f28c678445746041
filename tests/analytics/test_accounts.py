"""The fleet and its clients in figures: stats, clients, growth, one client (dashboard-api 2.2, 2.4, 6.1)."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.conf import settings

from analytics.services.ledger import roll_up
from clients.models import Client
from clients.services import delete_client, set_active
from tests.contract.shapes import strict
from tests.factories import AgentFactory, ClientFactory, InstanceFactory, PoolFactory, SwitchFactory

STATS, CLIENTS, GROWTH = "/api/admin/stats", "/api/admin/clients", "/api/admin/clients/growth"

pytestmark = pytest.mark.django_db


def body(api, path):
    response = api.get(path)
    assert response.status_code == 200, response.content
    return strict(response)


def saving(world, client, *, agents=1):
    """Each agent saves 0.0568 in two hours (the first check value of 5.3)."""
    for _ in range(agents):
        world.instance(agent=AgentFactory(client=client, primary=False))
    world.go_to(2)
    roll_up()


class TestStats:
    def test_an_empty_database(self, admin_api):
        assert body(admin_api, STATS) == {
            "totalAccounts": 0,
            "agentsOnline": 0,
            "agentsTotal": 0,
            "poolsCovered": 0,
            "totalSavings": 0.0,
            "totalSwitches": 0,
            "manualSwitches": 0,
            "modelSwitches": 0,
            "backendHealth": "Healthy",
            "decisionEngineLoaded": True,
            "mlModelsLoaded": False,
        }

    def test_a_fleet(self, admin_api, tenant):
        online, offline = AgentFactory(client=tenant), AgentFactory(client=tenant, status="offline")
        AgentFactory(status="deleted", primary=False)
        PoolFactory(az="us-east-1a")
        PoolFactory(az="us-east-1b", is_active=False)
        for trigger in ("manual", "automatic", "automatic", "emergency"):
            SwitchFactory(agent=online, trigger=trigger)
        SwitchFactory(agent=offline, trigger="unknown", success=False)
        found = body(admin_api, STATS)
        assert (found["totalAccounts"], found["agentsOnline"], found["agentsTotal"]) == (2, 1, 2)
        assert found["poolsCovered"] == 1
        assert (found["totalSwitches"], found["manualSwitches"], found["modelSwitches"]) == (5, 1, 2)

    def test_the_total_is_the_sum_of_the_clients_with_several_agents_each(self, admin_api, world, tenant):
        saving(world, tenant, agents=3)
        saving(world, ClientFactory(), agents=2)
        listed = [row["totalSavings"] for row in body(admin_api, CLIENTS)]
        assert listed == [2 * 0.0568, pytest.approx(3 * 0.0568)]
        assert body(admin_api, STATS)["totalSavings"] == pytest.approx(5 * 0.0568)

    def test_a_deleted_clients_savings_and_switches_are_gone(self, admin_api, world, tenant):
        saving(world, tenant)
        SwitchFactory(agent=tenant.agents.get())
        delete_client(client=tenant)
        found = body(admin_api, STATS)
        assert (found["totalAccounts"], found["totalSavings"], found["totalSwitches"]) == (0, 0, 0)


class TestClients:
    def test_nobody(self, admin_api):
        assert body(admin_api, CLIENTS) == []

    def test_a_client_without_agents(self, admin_api, noon):
        client = ClientFactory(name="Shop", email="shop@example.org")
        assert body(admin_api, CLIENTS) == [
            {
                "id": client.public_id,
                "name": "Shop",
                "status": "active",
                "instances": 0,
                "agentsOnline": 0,
                "agentsTotal": 0,
                "totalSavings": 0.0,
                "lastSync": None,
                "email": "shop@example.org",
                "createdAt": "2026-01-05T12:00:00Z",
            }
        ]

    def test_one_with_a_fleet(self, admin_api, world, tenant):
        saving(world, tenant)
        AgentFactory(client=tenant, status="offline", last_heartbeat_at=world.at(1))
        AgentFactory(client=tenant, status="deleted", primary=False, last_heartbeat_at=world.at(1))
        InstanceFactory(client=tenant, agent=None, status="launching")
        InstanceFactory(client=tenant, agent=None, status="zombie")
        (row,) = body(admin_api, CLIENTS)
        assert (row["instances"], row["agentsOnline"], row["agentsTotal"]) == (3, 1, 2)
        assert (row["totalSavings"], row["lastSync"]) == (0.0568, "2026-01-05T14:00:00Z")

    def test_the_last_heartbeat_of_a_deleted_agent_counts(self, admin_api, world, tenant):
        AgentFactory(client=tenant, status="deleted", primary=False, last_heartbeat_at=world.at(1))
        assert body(admin_api, CLIENTS)[0]["lastSync"] == "2026-01-05T13:00:00Z"

    def test_an_agent_that_never_reported_prices(self, admin_api, world, tenant):
        world.instance(agent=AgentFactory(client=tenant, primary=False), instance_type="x9.huge")
        world.go_to(2)
        roll_up()
        assert body(admin_api, CLIENTS)[0]["totalSavings"] == 0.0

    def test_newest_first_inactive_ones_too(self, admin_api, noon):
        for name in ("Old", "Middle", "New"):
            ClientFactory(name=name)
            noon.shift(60)
        Client.objects.filter(name="Middle").update(is_active=False)
        rows = [(row["name"], row["status"]) for row in body(admin_api, CLIENTS)]
        assert rows == [("New", "active"), ("Middle", "inactive"), ("Old", "active")]


class TestGrowth:
    @pytest.fixture
    def today(self):
        with time_machine.travel(datetime(2025, 1, 5, 15, tzinfo=UTC), tick=False) as travel:
            yield travel

    def client(self, days_ago, **fields):
        at = datetime(2025, 1, 5, 10, tzinfo=UTC) - timedelta(days=days_ago)
        return ClientFactory(created_at=at, **fields)

    def test_nobody_is_an_empty_list(self, admin_api):
        assert body(admin_api, GROWTH) == []

    def test_two_days(self, admin_api, today):
        self.client(7)
        self.client(0)
        assert body(admin_api, f"{GROWTH}?days=2") == [
            {"date": "2025-01-04", "count": 1, "total": 1, "new": 0, "active": 1},
            {"date": "2025-01-05", "count": 2, "total": 2, "new": 1, "active": 2},
        ]

    def test_a_deleted_client_was_there_until_that_day(self, admin_api, today):
        self.client(9)
        gone = self.client(2)
        delete_client(client=gone)
        rows = body(admin_api, f"{GROWTH}?days=4")
        assert [(row["total"], row["new"]) for row in rows] == [(1, 0), (2, 1), (2, 0), (1, 0)]

    def test_one_that_was_deactivated_counts_as_active_until_then(self, admin_api, today):
        client = self.client(9)
        today.shift(-86400)
        set_active(client=client, is_active=False)
        today.shift(86400)
        rows = body(admin_api, f"{GROWTH}?days=3")
        assert [(row["total"], row["active"]) for row in rows] == [(1, 1), (1, 0), (1, 0)]

    def test_one_that_was_never_active_does_not_count(self, admin_api, today):
        self.client(1, is_active=False)
        assert [(row["total"], row["active"]) for row in body(admin_api, f"{GROWTH}?days=2")] == [(1, 0), (1, 0)]

    @pytest.mark.parametrize(
        ("days", "rows"), [("1", 1), ("0", 1), ("-3", 1), ("9999", 365), ("x", 30), ("", 30), ("all", 30)]
    )
    def test_the_window_is_clamped(self, admin_api, tenant, days, rows):
        assert len(body(admin_api, f"{GROWTH}?days={days}")) == rows

    def test_thirty_days_unless_told_otherwise(self, admin_api, tenant):
        assert len(body(admin_api, GROWTH)) == 30


class TestDetails:
    def test_a_client_without_agents(self, tenant_api, tenant):
        found = body(tenant_api, f"/api/client/{tenant.public_id}")
        assert {key: found[key] for key in found if key != "createdAt"} == {
            "id": tenant.public_id,
            "name": "Tenant",
            "status": "active",
            "instances": 0,
            "agentsOnline": 0,
            "agentsTotal": 0,
            "totalSavings": 0.0,
            "lastSync": None,
            "email": None,
            "agentsOffline": 0,
            "instancesTerminated": 0,
        }

    def test_nothing_of_other_clients_is_counted(self, tenant_api, tenant, world):
        saving(world, tenant)
        saving(world, ClientFactory(), agents=4)
        AgentFactory(client=tenant, status="offline")
        InstanceFactory(client=tenant, agent=None, status="terminated")
        found = body(tenant_api, f"/api/client/{tenant.public_id}")
        counts = [found[key] for key in ("instances", "agentsOnline", "agentsTotal", "agentsOffline")]
        assert counts == [2, 1, 2, 1]
        assert (found["instancesTerminated"], found["totalSavings"]) == (1, 0.0568)

    def test_another_tenants_is_forbidden(self, tenant_api):
        response = tenant_api.get(f"/api/client/{ClientFactory().public_id}")
        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")

    def test_an_unknown_one_is_not_found_by_operators(self, admin_api):
        response = admin_api.get("/api/client/nobody")
        assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


class TestCost:
    """The same number of statements at one row and at many; reads never look into the ledger or count the history."""

    PATHS = {STATS: 6, CLIENTS: 4, GROWTH: 4, "/api/client/{client_id}": 6}

    @pytest.mark.parametrize("count", [1, 25])
    @pytest.mark.parametrize("path", PATHS)
    def test_the_statements_do_not_grow(self, admin_api, world, count, path, django_assert_max_num_queries):
        for _ in range(count):
            client = world.instance().client
            SwitchFactory(agent=client.agents.get())
            ClientFactory(is_active=False)
        world.go_to(2)
        roll_up()
        with django_assert_max_num_queries(self.PATHS[path]) as captured:
            body(admin_api, path.format(client_id=client.public_id))
        statements = " ".join(query["sql"] for query in captured.captured_queries)
        assert '"usage_ledger"' not in statements.replace("`", '"')
        assert '"switches"' not in statements.replace("`", '"')


class TestSystemHealth:
    PATH = "/api/admin/system-health"

    def test_only_the_built_in_engine_is_loaded(self, admin_api, noon):
        found = body(admin_api, self.PATH)
        assert (found.pop("connectionPool") == "n/a") == settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
        assert found == {
            "apiStatus": "Healthy",
            "database": "Connected",
            "decisionEngine": "Loaded",
            "timestamp": "2026-01-05T12:00:00Z",
            "decisionEngineStatus": {
                "loaded": True,
                "type": "built-in",
                "version": "1",
                "filesUploaded": 0,
                "files": [],
            },
            "modelStatus": {
                "loaded": False,
                "filesUploaded": 0,
                "activeModels": [],
                "name": None,
                "version": None,
                "files": [],
            },
        }

    def test_without_a_database_it_still_answers(self, admin_api, monkeypatch):
        from django.db import OperationalError, connection

        def away(*args, **kwargs):
            raise OperationalError(2006, "gone away")

        monkeypatch.setattr(connection, "cursor", away)
        found = body(admin_api, self.PATH)
        assert (found["database"], found["connectionPool"], found["apiStatus"]) == ("Disconnected", "n/a", "Healthy")
        assert found["modelStatus"]["loaded"] is False

    def test_clients_do_not_see_it(self, tenant_api):
        assert tenant_api.get(self.PATH).status_code == 403
