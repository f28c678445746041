"""Statements per call of the busiest endpoints: the whole request, authentication included."""

import pytest

from agents.models import Agent
from tests.dialects import V4, V5
from tests.factories import CommandFactory, OnDemandPriceFactory, PoolFactory

pytestmark = pytest.mark.django_db

POOLS = [f"us-east-1{letter}" for letter in "abcdefghij"]


@pytest.fixture
def v4(client_token):
    return V4(client_token, instance_id="i-0aaa").settle()


@pytest.fixture
def v5(client_token):
    return V5(client_token, instance_id="i-0aaa").settle()


def test_a_heartbeat_costs_two_statements(v4, django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        assert v4.heartbeat().status_code == 200


def test_a_heartbeat_with_an_inventory_costs_five_whatever_its_size(v5, django_assert_max_num_queries):
    others = [(f"i-{n:017x}", None) for n in range(200)]
    with django_assert_max_num_queries(5):  # the savepoint around the inventory is two of them
        assert v5.heartbeat(*others).status_code == 200


def test_an_idle_poll_costs_one_statement(v4, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        assert v4.orders() == []


def test_an_idle_poll_of_v5_costs_one_statement(v5, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        assert v5.orders() == []


def test_the_config_costs_one_statement(v4, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        assert v4.get("config").json()["enabled"] is True


def test_a_report_of_ten_unchanged_pools_costs_four_statements(v4, django_assert_max_num_queries):
    OnDemandPriceFactory()
    for az in POOLS:
        PoolFactory(az=az)
    pools = [{"pool_id": f"t3.medium.{az}", "instance_type": "t3.medium", "az": az, "price": 0.0125} for az in POOLS]
    body = {
        "instance": v4.as_side(),
        "pricing": {
            "on_demand_price": 0.0416,
            "current_spot_price": 0.0125,
            "spot_pools": pools,
            "cheapest_pool": None,
        },
    }
    assert v4.post("pricing-report", body).status_code == 200
    with django_assert_max_num_queries(4):
        assert v4.post("pricing-report", body).status_code == 200


def test_a_poll_costs_no_more_with_a_long_history(v4, django_assert_max_num_queries):
    agent = Agent.objects.get()
    for _ in range(50):
        CommandFactory(agent=agent, status="completed")
    with django_assert_max_num_queries(1):
        assert v4.orders() == []
