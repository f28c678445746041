"""A client's savings, charts, switches and downtime (dashboard-api 2.4, 5.3, 6.1)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from analytics.models import ClientDay
from analytics.services.ledger import roll_up
from instances.models import Switch
from spotopt.common import clock
from tests.contract.shapes import strict
from tests.factories import AgentFactory, ClientFactory, InstanceFactory, SwitchFactory

D = Decimal

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(tenant):
    return AgentFactory(client=tenant)


@pytest.fixture
def ask(tenant_api, tenant):
    def ask(path, **query):
        response = tenant_api.get(f"/api/client/{tenant.public_id}/{path}", query_params=query)
        assert response.status_code == 200, response.content
        return strict(response)

    return ask


@pytest.fixture
def afternoon():
    """A Sunday, the last day of an ISO week."""
    with time_machine.travel(datetime(2025, 1, 5, 15, tzinfo=UTC), tick=False) as travel:
        yield travel


def day(client, text, *, baseline="3", paid="1", seconds=3600, priced=3600):
    ClientDay.objects.create(
        client=client,
        day=date.fromisoformat(text),
        seconds=seconds,
        priced_seconds=priced,
        baseline_usd=D(baseline),
        paid_usd=D(paid),
    )


class TestCheckValues:
    """The worked values of 5.3, as pages get them."""

    def figures(self, ask):
        roll_up()
        (month,) = ask("savings")
        (trend,) = ask("stats/charts")["savingsTrend"]
        assert (trend["baseline"], trend["actual"]) == (month["onDemandCost"], month["modelCost"])
        assert ask("")["totalSavings"] == month["savings"] == trend["savings"]
        return month["onDemandCost"], month["modelCost"], month["savings"]

    @pytest.fixture
    def ask(self, tenant_api, tenant):
        def ask(path):
            return strict(tenant_api.get(f"/api/client/{tenant.public_id}/{path}".rstrip("/")))

        return ask

    @pytest.fixture
    def agent(self, tenant):
        return AgentFactory(client=tenant, primary=False)

    def test_two_hours_of_a_primary_on_spot(self, world, agent, ask):
        world.instance(agent=agent)
        world.go_to(2)
        assert self.figures(ask) == (0.0832, 0.0264, 0.0568)

    def test_a_standby_is_pure_cost(self, world, agent, ask):
        world.instance(agent=agent)
        standby = world.instance("running_replica", az="b", agent=agent)
        world.become(standby, "terminated", at=1)
        world.go_to(2)
        assert self.figures(ask) == (0.0832, 0.0392, 0.044)

    def test_an_hour_on_demand_and_an_hour_on_spot(self, world, agent, ask):
        before = world.instance(mode="ondemand", agent=agent)
        world.become(before, "terminated", at=1)
        world.instance(agent=agent, since=1)
        world.go_to(2)
        assert self.figures(ask) == (0.0832, 0.0548, 0.0284)


class TestSavings:
    def test_a_client_without_agents(self, ask):
        assert ask("savings") == []

    def test_a_month(self, ask, tenant, afternoon):
        day(tenant, "2025-01-02", baseline="20", paid="5")
        day(tenant, "2025-01-05", baseline="9.95", paid="4.5", priced=1800)
        assert ask("savings") == [
            {
                "name": "January",
                "savings": 20.45,
                "onDemandCost": 29.95,
                "modelCost": 9.5,
                "year": 2025,
                "month": 1,
                "periodStart": "2025-01-01",
                "priceCoverage": 0.75,
            }
        ]

    def test_twelve_months_oldest_first_without_a_gap(self, ask, tenant, afternoon):
        for text in ("2023-12-31", "2024-01-31", "2024-02-01", "2024-11-30"):
            day(tenant, text)
        rows = ask("savings", range="monthly")
        assert [row["name"] for row in rows[:3]] == ["February", "March", "April"]
        assert (rows[-1]["name"], rows[-1]["year"], len(rows)) == ("January", 2025, 12)
        assert [row["savings"] for row in rows] == [2.0, *[0.0] * 8, 2.0, 0.0, 0.0]
        assert rows[1]["priceCoverage"] is None

    def test_days(self, ask, tenant, afternoon):
        for text in ("2024-12-06", "2024-12-07", "2025-01-05"):
            day(tenant, text)
        rows = ask("savings", range="daily")
        assert (rows[0]["name"], rows[-1]["name"], len(rows)) == ("2024-12-07", "2025-01-05", 30)

    def test_iso_weeks_belong_to_the_year_of_their_thursday(self, ask, tenant, afternoon):
        for text in ("2024-10-13", "2024-10-14", "2024-12-29", "2024-12-30", "2025-01-05"):
            day(tenant, text)
        rows = ask("savings", range="WEEKLY")
        assert (rows[0]["name"], len(rows)) == ("2024-W42", 12)
        assert [(r["name"], r["year"], r["month"], r["savings"]) for r in rows[-2:]] == [
            ("2024-W52", 2024, None, 2.0),
            ("2025-W01", 2025, None, 4.0),
        ]

    def test_all_years(self, ask, tenant, afternoon):
        for text in ("2021-06-01", "2024-12-31", "2025-01-01"):
            day(tenant, text)
        rows = ask("savings", range="yearly")
        assert [row["name"] for row in rows] == ["2021", "2022", "2023", "2024", "2025"]
        assert [row["savings"] for row in rows] == [2.0, 0.0, 0.0, 2.0, 2.0]

    def test_losses_are_negative(self, ask, tenant, afternoon):
        day(tenant, "2025-01-01", baseline="1", paid="4")
        assert ask("savings")[0]["savings"] == -3.0

    def test_time_without_prices_is_zero_and_says_so(self, ask, tenant, afternoon):
        day(tenant, "2025-01-01", baseline="0", paid="0", priced=0)
        (row,) = ask("savings")
        assert [row[key] for key in ("savings", "onDemandCost", "modelCost", "priceCoverage")] == [0, 0, 0, 0]

    def test_rows_add_up_exactly_in_decimals(self, ask, tenant, tenant_api, afternoon):
        for number in range(60):
            text = (date(2024, 11, 10) + timedelta(days=number)).isoformat()
            day(tenant, text, baseline=f"0.{123456789 * (number + 1) % 10**9:09}", paid=f"0.{number:09}")
        rows = ask("savings")
        exact = [{key: D(str(row[key])) for key in ("savings", "onDemandCost", "modelCost")} for row in rows]
        assert all(row["savings"] == row["onDemandCost"] - row["modelCost"] for row in exact)
        total = tenant_api.get(f"/api/client/{tenant.public_id}").json()["totalSavings"]
        assert sum(row["savings"] for row in exact) == D(str(total))

    def test_the_current_hour_is_in_it(self, world, ask, tenant):
        world.instance(agent=AgentFactory(client=tenant, primary=False))
        world.go_to(0.5)
        roll_up()
        assert ask("savings")[0]["modelCost"] == 0.0066

    @pytest.mark.parametrize("wanted", ["hourly", "all", "1e3", "\0"])
    def test_an_unknown_range_is_refused(self, tenant_api, tenant, wanted):
        response = tenant_api.get(f"/api/client/{tenant.public_id}/savings", query_params={"range": wanted})
        assert (response.status_code, response.json()["code"]) == (400, "VALIDATION_ERROR")

    def test_another_tenants_are_forbidden(self, tenant_api):
        response = tenant_api.get(f"/api/client/{ClientFactory().public_id}/savings")
        assert (response.status_code, response.json()["code"]) == (403, "FORBIDDEN")


class TestCharts:
    def test_a_client_without_agents_has_all_three(self, ask, afternoon):
        found = ask("stats/charts")
        assert (found["savingsTrend"], found["modeDistribution"]) == ([], [])
        assert [row["date"] for row in found["switchFrequency"]][::29] == ["2024-12-07", "2025-01-05"]
        assert {row["switches"] for row in found["switchFrequency"]} == {0}

    def test_a_full_one(self, ask, tenant, afternoon):
        day(tenant, "2025-01-05", baseline="29.95", paid="9.5")
        SwitchFactory(agent=AgentFactory(client=tenant))
        found = ask("stats/charts")
        assert found["savingsTrend"] == [{"month": "January", "baseline": 29.95, "actual": 9.5, "savings": 20.45}]
        assert found["modeDistribution"] == [{"mode": "spot", "name": "spot", "count": 1}]
        assert found["switchFrequency"][-1] == {"date": "2025-01-05", "switches": 1}

    def test_only_active_instances_of_this_client_are_counted(self, ask, tenant):
        for status, mode in (("running_replica", "ondemand"), ("launching", "unknown"), ("zombie", "spot")):
            InstanceFactory(client=tenant, agent=None, status=status, mode=mode)
        AgentFactory()
        counts = [(row["mode"], row["count"]) for row in ask("stats/charts")["modeDistribution"]]
        assert counts == [("ondemand", 1), ("unknown", 1)]

    def test_switches_are_counted_on_their_day_in_utc(self, ask, agent, afternoon):
        for days_ago, number in ((30, 1), (29, 2), (0, 3)):
            for _ in range(number):
                SwitchFactory(agent=agent, created_at=clock.now() - timedelta(days=days_ago, hours=15))
        rows = ask("stats/charts")["switchFrequency"]
        assert len(rows) == 30
        assert [row["switches"] for row in rows if row["switches"]] == [2, 3]


class TestSwitchHistory:
    def test_nothing(self, ask):
        assert ask("switch-history") == []

    def test_a_switch(self, ask, agent):
        switch = SwitchFactory(
            agent=agent,
            old_instance_id="i-0old",
            new_instance_id="i-0new",
            ondemand_price=D("0.0416"),
            new_spot_price=D("0.0132"),
            savings_impact=D("0.0284"),
            instance_launched_at=datetime(2025, 1, 5, 9, 30, tzinfo=UTC),
            initiated_at=datetime(2025, 1, 5, 9, 25, tzinfo=UTC),
            downtime_seconds=12,
        )
        assert ask("switch-history") == [
            {
                "id": switch.public_id,
                "instanceId": "i-0new",
                "oldInstanceId": "i-0old",
                "newInstanceId": "i-0new",
                "timestamp": "2025-01-05T09:30:00Z",
                "fromMode": "ondemand",
                "toMode": "spot",
                "fromPool": "n/a",
                "toPool": "t3.medium.us-east-1a",
                "trigger": "manual",
                "price": 0.0132,
                "savingsImpact": 0.0284,
                "savingsImpactKnown": True,
                "agentId": agent.public_id,
                "downtimeSeconds": 12,
                "success": True,
                "initiatedAt": "2025-01-05T09:25:00Z",
            }
        ]

    def test_what_is_unknown_is_a_number_all_the_same(self, ask, agent):
        SwitchFactory(agent=agent)
        (row,) = ask("switch-history")
        assert (row["price"], row["savingsImpact"], row["savingsImpactKnown"]) == (0, 0, False)
        assert (row["downtimeSeconds"], row["initiatedAt"]) == (None, None)

    def test_a_loss_is_negative_and_ondemand_costs_the_list_price(self, ask, agent):
        modes = {"old_mode": "spot", "new_mode": "ondemand", "new_pool_id": ""}
        SwitchFactory(agent=agent, ondemand_price=D("0.0416"), savings_impact=D("-0.0284"), **modes)
        (row,) = ask("switch-history")
        assert (row["price"], row["savingsImpact"], row["toPool"]) == (0.0416, -0.0284, "n/a")

    @pytest.mark.parametrize(
        ("known", "shown"),
        [
            ({"ami_created_at": 1, "initiated_at": 2}, "2026-01-05T11:00:00Z"),
            ({"initiated_at": 2}, "2026-01-05T10:00:00Z"),
            ({}, "2026-01-05T12:00:00Z"),
        ],
    )
    def test_the_moment_is_the_best_that_is_known(self, ask, agent, noon, known, shown):
        SwitchFactory(agent=agent, **{name: clock.now() - timedelta(hours=hours) for name, hours in known.items()})
        assert ask("switch-history")[0]["timestamp"] == shown

    def test_newest_first_in_pages(self, ask, agent, noon):
        for number in range(5):
            noon.shift(0 if number == 2 else 60)
            SwitchFactory(agent=agent, old_instance_id=f"i-{number}")
        assert [row["oldInstanceId"] for row in ask("switch-history")] == ["i-4", "i-3", "i-2", "i-1", "i-0"]
        page = ask("switch-history", limit=2, offset=1)
        assert [row["oldInstanceId"] for row in page] == ["i-3", "i-2"]

    @pytest.mark.parametrize(("limit", "shown"), [("0", 1), ("-1", 1), ("2", 2), ("x", 3), ("99999999999999999", 3)])
    def test_the_limit_is_clamped(self, ask, agent, limit, shown):
        SwitchFactory.create_batch(3, agent=agent)
        assert len(ask("switch-history", limit=limit, offset="x")) == shown

    def test_one_instance_old_or_new(self, ask, agent):
        SwitchFactory(agent=agent, old_instance_id="i-0a", new_instance_id="i-0b")
        SwitchFactory(agent=agent, old_instance_id="i-0b", new_instance_id="i-0c")
        SwitchFactory(agent=agent, old_instance_id="i-0c", new_instance_id="i-0d")
        SwitchFactory(old_instance_id="i-0b")
        found = ask("switch-history", instance_id="i-0b")
        assert [row["instanceId"] for row in found] == ["i-0c", "i-0b"]
        assert ask("switch-history", instance_id="i-0none") == []
        assert len(ask("switch-history", instance_id="all")) == 3


class TestDowntime:
    NOTHING = {
        "total_downtime_seconds": 0,
        "average_downtime_per_switch": None,
        "switches_with_downtime": 0,
        "switches_without_downtime": 0,
        "downtime_by_trigger": {},
        "longest_downtime": None,
    }

    def test_nothing(self, ask):
        data = self.NOTHING | {
            "total_switches": 0,
            "successful_switches": 0,
            "failed_switches": 0,
            "avg_downtime_seconds": None,
            "p95_downtime_seconds": None,
            "min_downtime_seconds": None,
            "max_downtime_seconds": None,
            "trend": None,
        }
        assert ask("analytics/downtime") == {"status": "success", "error": None, "data": data} | self.NOTHING

    def test_what_was_measured(self, ask, agent, noon):
        longest = SwitchFactory(agent=agent, downtime_seconds=60, trigger="emergency")
        for seconds in (10, 20, 0, None):
            SwitchFactory(agent=agent, downtime_seconds=seconds)
        SwitchFactory(agent=agent, downtime_seconds=None, success=False)
        SwitchFactory(downtime_seconds=999)
        found = ask("analytics/downtime")
        data = found["data"]
        assert found["total_downtime_seconds"] == data["total_downtime_seconds"] == 90
        assert (found["average_downtime_per_switch"], data["avg_downtime_seconds"]) == (22.5, 22.5)
        assert (found["switches_with_downtime"], found["switches_without_downtime"]) == (3, 1)
        assert found["downtime_by_trigger"] == {
            "emergency": {"total_seconds": 60, "average_seconds": 60.0, "count": 1},
            "manual": {"total_seconds": 30, "average_seconds": 10.0, "count": 3},
        }
        assert found["longest_downtime"] == {
            "switch_id": longest.public_id,
            "downtime_seconds": 60,
            "timestamp": "2026-01-05T12:00:00Z",
            "reason": "emergency",
        }
        assert (data["total_switches"], data["successful_switches"], data["failed_switches"]) == (6, 5, 1)
        assert [data[f"{name}_downtime_seconds"] for name in ("min", "p95", "max")] == [0, 60, 60]

    def test_nineteen_of_twenty_took_no_longer_than_the_95th_percentile(self, ask, agent):
        for seconds in range(1, 41):
            SwitchFactory(agent=agent, downtime_seconds=seconds)
        assert ask("analytics/downtime")["data"]["p95_downtime_seconds"] == 38

    def test_the_trend_compares_with_the_window_before(self, ask, agent):
        for days_ago, seconds in ((1, 30), (8, 20), (15, 500)):
            SwitchFactory(agent=agent, downtime_seconds=seconds, created_at=clock.now() - timedelta(days=days_ago))
        week = ask("analytics/downtime", days=7)["data"]
        assert (week["total_switches"], week["trend"]) == (1, 50.0)
        assert ask("analytics/downtime")["data"]["trend"] is None
        assert ask("analytics/downtime", days=365)["data"]["trend"] is None

    @pytest.mark.parametrize(
        ("days", "counted"), [("0", 1), ("-5", 1), ("365", 2), ("99999", 2), ("x", 3), ("", 3), ("all", 3)]
    )
    def test_the_window_is_clamped(self, ask, agent, days, counted):
        for days_ago in (0, 100, 400):
            SwitchFactory(agent=agent, created_at=clock.now() - timedelta(days=days_ago, hours=1))
        assert ask("analytics/downtime", days=days)["data"]["total_switches"] == counted


class TestCost:
    """Statements of the whole request, one of which finds out who asks, another one the client."""

    @pytest.mark.parametrize(
        ("path", "statements"),
        [
            ("savings", 3),
            ("savings?range=yearly", 3),
            ("stats/charts", 5),
            ("switch-history?limit=500", 4),
            ("switch-history?instance_id=i-0a", 6),
            ("analytics/downtime?days=30", 5),
        ],
    )
    @pytest.mark.parametrize("rows", [1, 100])
    def test_the_statements_do_not_grow(self, ask, tenant, agent, path, statements, rows, django_assert_num_queries):
        switches = SwitchFactory.build_batch(rows, agent=agent, client=tenant, command=None, downtime_seconds=3)
        for switch in switches:
            switch.new_instance_id = "i-0a"
        Switch.objects.bulk_create(switches)
        for number in range(rows):
            day(tenant, (clock.now() - timedelta(days=number)).date().isoformat())
        with django_assert_num_queries(statements):
            path, _, query = path.partition("?")
            ask(path, **dict(pair.split("=") for pair in query.split("&") if pair))
