"""The three CSV downloads, byte by byte (dashboard-api 2.10)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from analytics.models import ClientDay
from analytics.selectors import switches
from clients.models import Client
from instances.models import Switch
from tests.conftest import JsonClient
from tests.factories import AgentFactory, ClientFactory, SwitchFactory

D = Decimal
GLOBAL = "/api/admin/export/global-stats"
SAVINGS_HEADER = b"Year,Month,Month Name,On-Demand Cost ($),Actual Cost ($),Savings ($)\r\n"
SWITCHES_HEADER = (
    b"Timestamp,Old Instance ID,New Instance ID,From Mode,To Mode,From Pool,To Pool,Trigger,"
    b"Price ($),Savings Impact ($/hr)\r\n"
)
CLIENTS_HEADER = b"Client ID,Name,Email,Total Savings ($),Active Instances,Active Agents,Created At\r\n"

pytestmark = pytest.mark.django_db


def path(client, kind):
    return f"/api/client/{client.public_id}/export/{kind}"


def download(api, path):
    """The file's name and content."""
    response = api.get(path)
    assert response.status_code == 200
    assert response.streaming
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Cache-Control"] == "no-store"
    return response["Content-Disposition"], b"".join(response.streaming_content)


def day(client, year, month, baseline, paid):
    sums = {"baseline_usd": D(baseline), "paid_usd": D(paid), "seconds": 3600, "priced_seconds": 3600}
    ClientDay.objects.create(client=client, day=date(year, month, 1), **sums)


@pytest.fixture
def january():
    with time_machine.travel(datetime(2025, 1, 5, 15, tzinfo=UTC), tick=False) as travel:
        yield travel


class TestSavings:
    def test_all_months_newest_first(self, tenant_api, tenant, january):
        day(tenant, 2023, 11, "5000.5", "1234.567")
        day(tenant, 2023, 12, "1", "2")
        day(tenant, 2025, 1, "0.0832", "0.0264")
        disposition, content = download(tenant_api, path(tenant, "savings"))
        assert disposition == f'attachment; filename="client_{tenant.public_id}_savings.csv"'
        lines = content.splitlines(keepends=True)
        assert len(lines) == 1 + 15
        assert lines[:3] == [
            SAVINGS_HEADER,
            b"2025,1,January,0.08,0.03,0.05\r\n",
            b"2024,12,December,0.00,0.00,0.00\r\n",
        ]
        assert lines[-2:] == [b"2023,12,December,1.00,2.00,-1.00\r\n", b"2023,11,November,5000.50,1234.57,3765.93\r\n"]

    def test_an_empty_one_is_its_header(self, tenant_api, tenant):
        assert download(tenant_api, path(tenant, "savings"))[1] == SAVINGS_HEADER


class TestSwitchHistory:
    def test_a_row(self, tenant_api, tenant):
        SwitchFactory(
            agent=AgentFactory(client=tenant),
            old_instance_id="i-0old",
            new_instance_id="i-0new",
            initiated_at=datetime(2025, 1, 5, 9, 30, tzinfo=UTC),
            new_spot_price=D("0.0132"),
            savings_impact=D("-0.0284"),
        )
        disposition, content = download(tenant_api, path(tenant, "switch-history"))
        assert disposition == f'attachment; filename="client_{tenant.public_id}_switch_history.csv"'
        row = b"2025-01-05T09:30:00Z,i-0old,i-0new,ondemand,spot,N/A,t3.medium.us-east-1a,manual,0.013200,-0.028400\r\n"
        assert content == SWITCHES_HEADER + row

    def test_unknown_numbers_are_empty_cells(self, tenant_api, tenant, january):
        SwitchFactory(agent=AgentFactory(client=tenant), old_instance_id="", trigger="unknown", new_pool_id="")
        row = download(tenant_api, path(tenant, "switch-history"))[1].splitlines()[1].split(b",")
        assert (row[0], row[1], row[6:]) == (b"2025-01-05T15:00:00Z", b"N/A", [b"N/A", b"unknown", b"", b""])

    def test_it_goes_on_beyond_a_window_without_gap_or_repeat(self, tenant_api, tenant, january, monkeypatch):
        monkeypatch.setattr(switches, "WINDOW", timedelta(seconds=60))
        agent = AgentFactory(client=tenant)
        for number in range(11):
            if number % 4 == 0:
                january.shift(86400 if number == 8 else 60)
            SwitchFactory(agent=agent, old_instance_id=f"i-{number:02}")
        content = download(tenant_api, path(tenant, "switch-history"))[1].decode()
        shown = [line.split(",")[1] for line in content.splitlines()[1:]]
        assert shown == [f"i-{number:02}" for number in reversed(range(11))]

    def test_nothing_is_read_before_the_browser_takes_it(self, tenant_api, tenant, django_assert_num_queries):
        agent = AgentFactory(client=tenant)
        new = SwitchFactory.build_batch(500, agent=agent, client=tenant, command=None)
        Switch.objects.bulk_create(new)
        with django_assert_num_queries(2):
            response = tenant_api.get(path(tenant, "switch-history"))
        blocks = list(response.streaming_content)
        assert len(blocks) > 1
        assert b"".join(blocks).count(b"\r\n") == 501

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
    def test_text_that_would_be_a_formula_is_not_one(self, tenant_api, tenant, text):
        SwitchFactory(agent=AgentFactory(client=tenant), new_instance_id=text)
        assert f",'{text},".encode() in download(tenant_api, path(tenant, "switch-history"))[1]


class TestGlobal:
    def test_active_clients_highest_savings_first(self, admin_api, january):
        quoted = ClientFactory(name='Big, "old" shop', email="shop@example.org")
        small = ClientFactory(name="=cmd()")
        loser = ClientFactory(name="Loser")
        ClientFactory(name="Gone", is_active=False)
        day(quoted, 2025, 1, "1520.255", "0")
        day(small, 2025, 1, "10", "1")
        day(loser, 2025, 1, "1", "3.5")
        for fields in ({}, {"enabled": False}, {"status": "deleted", "primary": False}):
            AgentFactory(client=small, **fields)
        disposition, content = download(admin_api, GLOBAL)
        assert disposition == 'attachment; filename="global_stats.csv"'
        created = b"2025-01-05T15:00:00Z"
        assert content == CLIENTS_HEADER + b"".join(
            [
                quoted.public_id.encode() + b',"Big, ""old"" shop",shop@example.org,1520.26,0,0,' + created + b"\r\n",
                small.public_id.encode() + b",'=cmd(),,9.00,2,1," + created + b"\r\n",
                loser.public_id.encode() + b",Loser,,-2.50,0,0," + created + b"\r\n",
            ]
        )

    def test_an_empty_database(self, admin_api):
        assert download(admin_api, GLOBAL)[1] == CLIENTS_HEADER

    def test_clients_do_not_get_it(self, tenant_api):
        assert tenant_api.get(GLOBAL).status_code == 403

    @pytest.mark.parametrize("count", [1, 30])
    def test_the_statements_do_not_grow(self, admin_api, count, django_assert_num_queries):
        for _ in range(count):
            AgentFactory()
        with django_assert_num_queries(4):
            assert download(admin_api, GLOBAL)[1].count(b"\r\n") == count + 1


class TestNavigation:
    """Opened by window.open: a browser's Accept header, a session cookie and nothing else."""

    @pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml", "text/csv", "image/png", ""])
    def test_whatever_the_browser_accepts(self, staff, tenant, accept):
        browser = JsonClient()
        browser.force_login(staff)
        assert browser.get(path(tenant, "savings"), headers={"Accept": accept}).status_code == 200

    @pytest.mark.parametrize("kind", ["savings", "switch-history"])
    def test_an_unknown_client_is_404_in_json(self, admin_api, kind):
        response = admin_api.get(f"/api/client/nobody/export/{kind}", headers={"Accept": "text/csv"})
        assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")

    def test_an_imported_id_cannot_break_the_header(self, admin_api):
        client = ClientFactory()
        Client.objects.filter(pk=client.pk).update(public_id='a"b;c')
        response = admin_api.get("/api/client/a%22b;c/export/savings")
        assert response["Content-Disposition"] == 'attachment; filename="client_a\\"b;c_savings.csv"'
