"""Price charts as time-weighted means of step functions (dashboard-api 2.4, 2.6)."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from instances.models import OnDemandPriceHistory, Pool, SpotPriceHistory
from instances.selectors.weighting import Series, microseconds
from tests.factories import AgentFactory, ClientFactory, OnDemandPriceFactory, PoolFactory

NOON = datetime(2025, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POOL_A, POOL_B = "pool_t3.medium.us-east-1a", "pool_t3.medium.us-east-1b"


@pytest.fixture(autouse=True)
def noon():
    with time_machine.travel(NOON, tick=False) as travel:
        yield travel


@pytest.fixture
def agent(tenant):
    return AgentFactory(client=tenant, instance_id="i-0new")


def quoted(az, *changes, confirmed=0):
    """`changes` = (hours after noon, price), the last one seen until `confirmed`."""
    at = NOON + changes[-1][0] * HOUR
    pool = PoolFactory(
        az=f"us-east-1{az}",
        price=Decimal(changes[-1][1]),
        ondemand=None,
        history=False,
        changed_at=at,
        recorded_at=at,
        last_confirmed_at=NOON + confirmed * HOUR,
    )
    for hours, price in changes:
        SpotPriceHistory.objects.create(pool=pool, at=NOON + hours * HOUR, price=price)
    return pool


def listed(*changes):
    at = NOON + changes[-1][0] * HOUR
    quote = OnDemandPriceFactory(
        price=Decimal(changes[-1][1]), history=False, changed_at=at, recorded_at=at, last_confirmed_at=NOON
    )
    for hours, price in changes:
        OnDemandPriceHistory.objects.create(quote=quote, at=NOON + hours * HOUR, price=price)
    return quote


def history(api, instance_id="i-0new", **query):
    response = api.get(f"/api/client/instances/{instance_id}/price-history", query)
    assert response.status_code == 200, response.content
    return response.json()


def series(body, key):
    return {row["time"][11:16]: row[key] for row in body["data"]}


@pytest.mark.django_db
class TestPriceHistory:
    def test_has_every_pool_on_every_row(self, agent, tenant_api):
        listed((-2, "0.0416"))
        quoted("a", (-2, "0.0132"))
        PoolFactory(az="us-east-1b", price=None, ondemand=None)
        assert history(tenant_api, hours=2) == {
            "data": [
                {"time": "2025-01-05 10:00", "onDemand": 0.0416, POOL_A: 0.0132, POOL_B: None},
                {"time": "2025-01-05 11:00", "onDemand": 0.0416, POOL_A: 0.0132, POOL_B: None},
            ],
            "pools": [
                {
                    "id": "t3.medium.us-east-1a",
                    "name": "t3.medium (us-east-1a)",
                    "az": "us-east-1a",
                    "key": POOL_A,
                },
                {
                    "id": "t3.medium.us-east-1b",
                    "name": "t3.medium (us-east-1b)",
                    "az": "us-east-1b",
                    "key": POOL_B,
                },
            ],
            "onDemandPrice": 0.0416,
        }

    def test_weighs_a_price_by_how_long_it_held(self, agent, tenant_api):
        quoted("a", (-3, "0.0100"), (-1.75, "0.0200"))
        assert series(history(tenant_api, hours=3), POOL_A) == {"09:00": 0.01, "10:00": 0.0175, "11:00": 0.02}

    def test_many_reports_of_one_price_weigh_no_more(self, agent, tenant_api):
        quoted("a", (-2, "0.0100"), (-1.5, "0.0200"), (-1.4, "0.0200"), (-1.3, "0.0200"))
        assert series(history(tenant_api, hours=2), POOL_A)["10:00"] == 0.015

    def test_the_on_demand_line_is_of_its_time(self, agent, tenant_api):
        listed((-3, "0.0400"), (-1, "0.0420"))
        quoted("a", (-3, "0.0132"))
        body = history(tenant_api, hours=3)
        assert series(body, "onDemand") == {"09:00": 0.04, "10:00": 0.04, "11:00": 0.042}
        assert body["onDemandPrice"] == 0.042

    def test_a_price_is_carried_for_24_hours(self, agent, tenant_api):
        quoted("a", (-48, "0.0132"), (-1, "0.0140"))
        values = [row[POOL_A] for row in history(tenant_api, hours=48)["data"]]
        assert values == [0.0132] * 24 + [None] * 23 + [0.014]

    def test_time_without_a_price_does_not_lower_the_mean(self, agent, tenant_api):
        quoted("a", (-0.5, "0.0132"))
        assert series(history(tenant_api, hours=1), POOL_A) == {"11:00": 0.0132}

    def test_begins_with_the_first_known_price(self, agent, tenant_api):
        quoted("a", (-3, "0.0132"))
        assert [row["time"] for row in history(tenant_api, days=90)["data"]] == [
            "2025-01-05 09:00",
            "2025-01-05 10:00",
            "2025-01-05 11:00",
        ]

    def test_the_hour_that_is_not_over_ends_now(self, agent, tenant_api, noon):
        quoted("a", (-1, "0.0100"), (0.25, "0.0300"), confirmed=0.5)
        noon.move_to(NOON + 0.5 * HOUR)
        assert series(history(tenant_api, hours=1), POOL_A) == {"11:00": 0.01, "12:00": 0.02}

    def test_days_have_dates(self, agent, tenant_api):
        quoted("a", (-36, "0.0100"), (-24, "0.0200"), (-12, "0.0200"))
        rows = history(tenant_api, days=2, interval="day")["data"]
        assert [(row["time"], row[POOL_A]) for row in rows] == [
            ("2025-01-04", 0.015),
            ("2025-01-05", 0.02),
        ]

    def test_of_a_pool_that_is_gone_is_shown_to_who_runs_in_it(self, agent, tenant_api):
        quoted("a", (-1, "0.0132"))
        Pool.objects.update(is_active=False)
        assert [pool["key"] for pool in history(tenant_api)["pools"]] == [POOL_A]

    def test_without_any_price_has_no_rows(self, agent, tenant_api):
        body = history(tenant_api)
        assert (body["data"], body["onDemandPrice"]) == ([], None)
        assert [pool["key"] for pool in body["pools"]] == [POOL_A]

    def test_without_pools_is_empty(self, tenant, tenant_api):
        AgentFactory(client=tenant, instance_id="i-0od", current_mode="ondemand")
        listed((-1, "0.0416"))
        assert history(tenant_api, "i-0od") == {"data": [], "pools": [], "onDemandPrice": 0.0416}

    def test_made_up_on_demand_prices_are_no_line(self, agent, tenant_api):
        OnDemandPriceFactory(price=Decimal("0.1"), is_estimate=True, history=False)
        quoted("a", (-1, "0.0132"))
        body = history(tenant_api, hours=1)
        assert (body["data"][0]["onDemand"], body["onDemandPrice"]) == (None, None)

    @pytest.mark.parametrize(
        ("query", "rows"),
        [
            ({}, 168),
            ({"days": "1"}, 24),
            ({"days": "0"}, 24),
            ({"days": "-3"}, 24),
            ({"days": "soon"}, 168),
            ({"days": "100"}, 2160),
            ({"hours": "2"}, 2),
            ({"hours": "2", "days": "30"}, 2),
            ({"hours": "99999"}, 2160),
            ({"interval": "day"}, 8),  # parts of the first and the last day
            ({"interval": "year"}, 168),
        ],
    )
    def test_windows(self, agent, tenant_api, query, rows):
        quoted("a", *((-24 * day, "0.0132") for day in range(91, 0, -1)))
        assert len(history(tenant_api, **query)["data"]) == rows

    @pytest.mark.parametrize(("pools", "changes"), [(1, 1), (20, 50)])
    def test_costs_the_same_however_much_there_is(self, agent, tenant_api, django_assert_num_queries, pools, changes):
        listed((-1, "0.0416"))
        for number in range(pools):
            quoted(f"{number:02}", *((-hours / 10, "0.0132") for hours in range(changes, 0, -1)))
        with django_assert_num_queries(6):  # token, instance; pools, list price; the history of both
            history(tenant_api)


def series_of(*changes):
    """`changes` = (hours after noon, price); the last one holds."""
    return Series([microseconds(NOON + hours * HOUR) for hours, _ in changes], [price for _, price in changes])


def hours(count):
    return [microseconds(NOON + n * HOUR) for n in range(count + 1)]


class TestWeighting:
    def test_before_the_first_price_nothing_is_known(self):
        assert series_of((1, 1.0)).means(hours(3)) == [None, 1.0, 1.0]

    def test_what_held_before_goes_on(self):
        assert series_of((-5, 1.0), (-4, 3.0)).means(hours(2)) == [3.0, 3.0]

    def test_an_empty_function_is_unknown_everywhere(self):
        assert Series().means(hours(2)) == [None, None]
        assert Series().mean_and_deviation(*hours(1)) is None

    def test_a_bucket_may_hold_many_changes(self):
        assert series_of((0, 0.0), (0.25, 15.0), (0.5, 30.0), (0.75, 45.0)).means(hours(1)) == [22.5]

    def test_unknown_time_counts_for_nothing(self):
        assert series_of((0, 1.0), (0.25, None), (0.75, 2.0), (1, None)).means(hours(2)) == [1.5, None]

    def test_changes_on_the_edge_belong_to_what_follows(self):
        assert series_of((0, 1.0), (1, 2.0), (2, 3.0)).means(hours(2)) == [1.0, 2.0]

    def test_deviation_weighs_by_time(self):
        mean, deviation = series_of((-1, 1.0), (0.75, 5.0), (1, 99.0)).mean_and_deviation(*hours(1))
        assert (mean, round(deviation, 6)) == (2.0, 1.732051)

    def test_ninety_days_of_twenty_pools_take_no_time(self):
        """The arithmetic alone; measured: 50 ms. The bound only catches another order of growth."""
        busy = series_of(*((n / 2, float(n % 7)) for n in range(4320)))
        started = time.process_time()
        for _ in range(21):
            assert len(busy.means(hours(2160))) == 2160
        assert time.process_time() - started < 2


def pricing(api, **query):
    response = api.get("/api/client/pricing-history", query)
    assert response.status_code == 200, response.content
    return response.json()


@pytest.mark.django_db
class TestPricingHistory:
    def test_is_of_the_agents_type_and_region(self, agent, tenant_api):
        listed((-2, "0.0416"))
        quoted("a", (-2, "0.0132"))
        quoted("b", (-1, "0.0128"))
        a, b = ({"pool_id": f"t3.medium.us-east-1{z}", "az": f"us-east-1{z}"} for z in "ab")
        assert pricing(tenant_api, days=1) == {
            "history": [
                {
                    "timestamp": "2025-01-05 10:00:00",
                    "ondemand_price": 0.0416,
                    "spot_pools": [a | {"price": 0.0132}, b | {"price": None}],
                },
                {
                    "timestamp": "2025-01-05 11:00:00",
                    "ondemand_price": 0.0416,
                    "spot_pools": [a | {"price": 0.0132}, b | {"price": 0.0128}],
                },
            ],
            "days": 1,
            "data_points": 2,
            "agent_id": agent.public_id,
            "instance_type": "t3.medium",
            "region": "us-east-1",
        }

    def test_an_unknown_on_demand_price_is_null(self, agent, tenant_api):
        quoted("a", (-1, "0.0132"))
        assert [row["ondemand_price"] for row in pricing(tenant_api)["history"]] == [None]

    def test_days_have_dates(self, agent, tenant_api):
        quoted("a", (-1, "0.0132"))
        assert [row["timestamp"] for row in pricing(tenant_api, interval="day")["history"]] == ["2025-01-05"]

    def test_without_pools_is_empty(self, agent, tenant_api):
        body = pricing(tenant_api)
        assert (body["history"], body["data_points"]) == ([], 0)

    def test_without_agent_id_is_of_the_one_heard_last(self, tenant, tenant_api):
        heard = AgentFactory(client=tenant, instance_type="m5.large")
        AgentFactory(client=tenant, last_heartbeat_at=NOON - HOUR)
        AgentFactory(client=tenant, last_heartbeat_at=NOON + HOUR, status="offline")
        body = pricing(tenant_api)
        assert (body["agent_id"], body["instance_type"]) == (heard.public_id, "m5.large")

    def test_without_an_agent_is_not_found(self, tenant_api):
        assert tenant_api.get("/api/client/pricing-history").status_code == 404

    def test_type_and_region_need_no_agent(self, tenant_api):
        quoted("a", (-1, "0.0132"))
        body = pricing(tenant_api, instance_type="t3.medium", region="us-east-1")
        assert (body["agent_id"], body["data_points"]) == (None, 1)

    def test_another_type_may_be_asked_for(self, agent, tenant_api):
        assert pricing(tenant_api, instance_type="m5.large")["instance_type"] == "m5.large"

    @pytest.mark.parametrize(("given", "days"), [("", 7), ("0", 1), ("91", 90), ("x", 7)])
    def test_days_are_clamped(self, agent, tenant_api, given, days):
        assert pricing(tenant_api, days=given)["days"] == days

    def test_days_end_with_what_is_kept(self, agent, tenant_api, settings):
        settings.PRICE_RETENTION_DAYS = 30
        assert pricing(tenant_api, days=90)["days"] == 30

    def test_another_tenants_agent_is_not_found(self, agent, tenant_api):
        foreign = AgentFactory()
        response = tenant_api.get("/api/client/pricing-history", {"agent_id": foreign.public_id})
        assert (response.status_code, response.json()["code"]) == (404, "AGENT_NOT_FOUND")
        response = tenant_api.get("/api/client/pricing-history", {"client_id": foreign.client.public_id})
        assert response.status_code == 403

    def test_operators_say_whose(self, agent, admin_api):
        assert admin_api.get("/api/client/pricing-history").status_code == 400
        assert admin_api.get("/api/client/pricing-history", {"client_id": "nobody"}).status_code == 404
        assert pricing(admin_api, client_id=agent.client.public_id)["agent_id"] == agent.public_id
        other = {"client_id": ClientFactory().public_id, "agent_id": agent.public_id}
        assert admin_api.get("/api/client/pricing-history", other).status_code == 404

    @pytest.mark.parametrize(("pools", "changes"), [(1, 1), (20, 50)])
    def test_costs_the_same_however_much_there_is(self, agent, tenant_api, django_assert_num_queries, pools, changes):
        listed((-1, "0.0416"))
        for number in range(pools):
            quoted(f"{number:02}", *((-hours / 10, "0.0132") for hours in range(changes, 0, -1)))
        with django_assert_num_queries(6):
            pricing(tenant_api)
