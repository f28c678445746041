"""Pricing alerts: the endpoint, and what a price report makes of them (dashboard-api 2.4)."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from instances.models import OnDemandPrice, Pool
from notifications.models import Notification, PricingAlert
from tests.dialects import V4
from tests.factories import ClientFactory, OnDemandPriceFactory, PoolFactory

pytestmark = pytest.mark.django_db

POOL = "t3.medium.us-east-1a"


@pytest.fixture
def address(tenant):
    return f"/api/client/{tenant.public_id}/pricing-alerts"


@pytest.fixture
def pool(db):
    OnDemandPriceFactory(price=Decimal("0.0416"))
    return PoolFactory(pool_id=POOL, price=Decimal("0.0125"))


class TestSetting:
    def test_the_created_alert_is_answered_and_listed(self, pool, tenant_api, address):
        answer = tenant_api.post(address, {"pool_id": POOL, "threshold_price": 0.02})
        assert answer.status_code == 201
        (listed,) = tenant_api.get(address).json()
        assert answer.json() == listed
        assert listed.pop("alert_id") == PricingAlert.objects.get().public_id
        assert listed.pop("created_at").endswith("Z")
        assert listed == {
            "alert_type": "price_above",
            "threshold": 0.02,
            "threshold_price": 0.02,
            "enabled": True,
            "notification_channels": ["dashboard"],
            "pool_id": POOL,
            "last_triggered_at": None,
        }

    def test_the_newest_comes_first(self, pool, admin_api, address):
        for threshold in (1, 2):
            admin_api.post(address, {"threshold": threshold})
        assert [alert["threshold"] for alert in admin_api.get(address).json()] == [2.0, 1.0]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"threshold": 0},
            {"threshold": -1},
            {"threshold": "NaN"},
            {"threshold": True},
            {"threshold": 1e9},
            {"threshold": None},
            {"threshold": 1, "alert_type": "price_sideways"},
            {"threshold": 1, "notification_channels": ["pigeon"]},
            {"threshold": 1, "notification_channels": "dashboard"},
            {"threshold": 101, "alert_type": "savings_below"},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, tenant_api, address, body):
        assert tenant_api.post(address, body).status_code == 400
        assert not PricingAlert.objects.exists()

    def test_an_unknown_pool_is_not_found(self, tenant_api, address):
        assert tenant_api.post(address, {"threshold": 1, "pool_id": "t9.none.us-east-1a"}).status_code == 404

    def test_another_tenants_are_refused(self, tenant_api):
        foreign = f"/api/client/{ClientFactory().public_id}/pricing-alerts"
        assert tenant_api.get(foreign).status_code == tenant_api.post(foreign, {"threshold": 1}).status_code == 403

    def test_a_hundred_are_the_most(self, tenant, tenant_api, address):
        PricingAlert.objects.bulk_create(PricingAlert(client=tenant, threshold=1) for _ in range(99))
        assert tenant_api.post(address, {"threshold": 1}).status_code == 201
        assert tenant_api.post(address, {"threshold": 1}).status_code == 409

    @pytest.mark.parametrize("rows", [1, 50])
    def test_the_list_costs_three_statements(self, tenant, tenant_api, address, django_assert_num_queries, rows):
        PricingAlert.objects.bulk_create(PricingAlert(client=tenant, threshold=1) for _ in range(rows))
        with django_assert_num_queries(3):  # who is asking, whose they are, the alerts
            assert len(tenant_api.get(address).json()) == rows


class TestCrossing:
    @pytest.fixture(autouse=True)
    def clock(self):
        with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
            self.clock = traveller
            yield

    @pytest.fixture(autouse=True)
    def agent(self, clock, client_token):
        self.agent = V4(client_token, instance_id="i-0aaa")
        self.agent.register()

    def report(self, price, *, ondemand=0.0416, pool_id=POOL):
        """What the agent sees five minutes later."""
        self.clock.shift(timedelta(minutes=5))
        quote = {"pool_id": pool_id, "instance_type": "t3.medium", "az": pool_id[-10:], "price": price}
        own = price if pool_id == POOL else 0.0125
        pricing = {"on_demand_price": ondemand, "current_spot_price": own, "spot_pools": [quote]}
        body = {"instance": self.agent.as_side(), "pricing": pricing | {"cheapest_pool": None}}
        assert self.agent.post("pricing-report", body).status_code == 200

    def told(self):
        return list(
            Notification.objects.filter(notification_type="pricing_alert")
            .order_by("id")
            .values_list("message", flat=True)
        )

    def test_a_price_above_the_threshold_is_told_once_per_crossing(self, tenant, tenant_api, address):
        self.report(0.0125)
        tenant_api.post(address, {"threshold": 0.02, "pool_id": POOL})
        for price in (0.0190, 0.0200, 0.0201, 0.0210, 0.0300):
            self.report(price)
        assert self.told() == ["The spot price of t3.medium.us-east-1a is 0.020100 USD per hour, above 0.02"]
        message = Notification.objects.get(notification_type="pricing_alert")
        assert (message.client, message.severity) == (tenant, "warning")
        assert message.metadata["value"] == 0.0201
        assert PricingAlert.objects.get().last_triggered_at == message.created_at

    def test_a_price_that_trembles_around_the_threshold_is_told_once(self, tenant_api, address):
        self.report(0.0125)
        tenant_api.post(address, {"threshold": 0.02, "pool_id": POOL})
        for price in (0.0201, 0.0199, 0.0202, 0.0197, 0.0203):
            self.report(price)
        assert len(self.told()) == 1
        self.report(0.0196)  # back by 2 %
        self.report(0.0201)
        assert len(self.told()) == 2

    def test_a_price_below(self, tenant_api, address):
        self.report(0.0125)
        tenant_api.post(address, {"threshold": 0.01, "pool_id": POOL, "alert_type": "price_below"})
        for price in (0.0100, 0.0099, 0.0101, 0.0098, 0.0102, 0.0097):
            self.report(price)
        assert len(self.told()) == 2

    def test_savings_are_percent_below_the_on_demand_price_of_the_pool(self, tenant_api, address):
        self.report(0.0125)
        tenant_api.post(address, {"threshold": 50, "pool_id": POOL, "alert_type": "savings_below"})
        self.report(0.0200)
        assert self.told() == []
        self.report(0.0212)
        assert self.told() == ["Spot in t3.medium.us-east-1a saves 49.0 % of the on-demand price, less than 50 %"]

    def test_a_new_on_demand_price_moves_savings_too(self, tenant_api, address):
        self.report(0.0125, ondemand=0.0416)
        tenant_api.post(address, {"threshold": 50, "pool_id": POOL, "alert_type": "savings_below"})
        self.report(0.0125, ondemand=0.0200)
        assert len(self.told()) == 1

    def test_nobody_is_woken_for_a_guessed_on_demand_price(self, tenant_api, address):
        self.report(0.0125)
        OnDemandPrice.objects.update(is_estimate=True)
        tenant_api.post(address, {"threshold": 90, "pool_id": POOL, "alert_type": "savings_below"})
        assert self.told() == []

    def test_an_alert_that_is_crossed_when_it_is_set_fires_at_once(self, tenant_api, address):
        self.report(0.0125)
        answer = tenant_api.post(address, {"threshold": 0.01, "pool_id": POOL})
        assert answer.json()["last_triggered_at"] is not None
        self.report(0.0130)
        assert len(self.told()) == 1

    def test_without_a_pool_it_is_about_each_pool_in_use(self, tenant_api, address):
        self.report(0.0125)
        tenant_api.post(address, {"threshold": 0.02})
        self.report(0.0500, pool_id="t3.medium.us-east-1f")  # nobody's
        assert self.told() == []
        self.report(0.0201)
        assert len(self.told()) == 1

    def test_another_clients_use_of_the_pool_is_no_business_of_ours(self, admin_api):
        self.report(0.0125)
        other = ClientFactory()
        admin_api.post(f"/api/client/{other.public_id}/pricing-alerts", {"threshold": 0.02})
        self.report(0.0201)
        assert self.told() == []

    def test_a_disabled_alert_is_silent(self, tenant_api, address):
        self.report(0.0125)
        tenant_api.post(address, {"threshold": 0.01, "pool_id": POOL, "enabled": False})
        self.report(0.0500)
        assert self.told() == []

    @pytest.mark.parametrize("alerts", [0, 80])
    def test_an_unchanged_price_costs_alerts_nothing(self, tenant, alerts, django_assert_max_num_queries):
        self.report(0.0125)
        PricingAlert.objects.bulk_create(PricingAlert(client=tenant, threshold=1) for _ in range(alerts))
        with django_assert_max_num_queries(4):
            self.report(0.0125)

    def test_a_changed_price_costs_the_same_however_many_alerts_there_are(self, tenant):
        def statements(price):
            with CaptureQueriesContext(connection) as queries:
                self.report(price)
            return len(queries)

        self.report(0.0125)
        PricingAlert.objects.create(client=tenant, pool_id=POOL, threshold=1, alert_type="price_above")
        few = statements(0.0126)
        others = ClientFactory.create_batch(20)
        PricingAlert.objects.bulk_create(
            PricingAlert(client=client, pool_id=pool_id, threshold=1)
            for client in others
            for pool_id in ("t3.medium.us-east-1f", "m5.large.us-east-1a")
        )
        assert statements(0.0127) == few

    def test_only_the_alerts_of_moved_pools_are_looked_at(self, tenant):
        self.report(0.0125)
        Pool.objects.filter(pool_id=POOL).update(price=Decimal("0.5"))  # not a report: nobody compares it
        PricingAlert.objects.create(client=tenant, pool_id=POOL, threshold=Decimal("0.4"))
        self.report(0.0130, pool_id="t3.medium.us-east-1f")
        assert self.told() == []
