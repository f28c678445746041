"""Prices as change points: a row when the price changes, the latest one copied to the pool (design 2.8)."""

from django.db import models
from django.db.models import Q

from spotopt.common import clock
from spotopt.common.db import ExactCharField
from spotopt.common.fields import PriceField


class OnDemandPrice(models.Model):
    """The current list price of an instance type in a region."""

    instance_type = ExactCharField(max_length=64)
    region = ExactCharField(max_length=32)
    price = PriceField()
    is_estimate = models.BooleanField(default=False)  # the agent's fallback figure (agent-api 3.10), not a list price
    changed_at = models.DateTimeField()
    last_confirmed_at = models.DateTimeField()
    recorded_at = models.DateTimeField(null=True, blank=True)  # newest row in the history; estimates have none

    class Meta:
        db_table = "ondemand_prices"
        constraints = [
            models.UniqueConstraint(fields=["instance_type", "region"], name="ondemand_one_per_type_region"),
            models.CheckConstraint(condition=Q(price__gt=0), name="ondemand_price_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_type} {self.region} {self.price}"


class OnDemandPriceHistory(models.Model):
    quote = models.ForeignKey(OnDemandPrice, models.CASCADE, related_name="history")
    at = models.DateTimeField()
    price = PriceField()

    class Meta:
        db_table = "ondemand_pricing_history"
        constraints = [models.UniqueConstraint(fields=["quote", "at"], name="ondemand_history_once")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.price}"


class Pool(models.Model):
    """A capacity pool: instance type × availability zone, with its latest spot price."""

    pool_id = ExactCharField(max_length=128, unique=True)  # <type>.<az>
    instance_type = ExactCharField(max_length=64)
    region = ExactCharField(max_length=32)
    az = ExactCharField(max_length=48)
    ondemand = models.ForeignKey(OnDemandPrice, models.SET_NULL, null=True, blank=True, related_name="pools")
    is_active = models.BooleanField(default=True)
    price = PriceField(null=True, blank=True)  # null: never quoted
    changed_at = models.DateTimeField(null=True, blank=True)  # when that price took effect
    last_confirmed_at = models.DateTimeField(null=True, blank=True)  # when an agent last saw it
    recorded_at = models.DateTimeField(null=True, blank=True)  # newest row in the history
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "pools"
        indexes = [models.Index(fields=["instance_type", "region"], name="pool_by_type")]  # candidates of an agent

    def __str__(self) -> str:
        return self.pool_id

    @property
    def display_name(self) -> str:
        return f"{self.instance_type} ({self.az})"


class SpotPriceHistory(models.Model):
    """The spot price of a pool from `at` on, until the next row."""

    pool = models.ForeignKey(Pool, models.CASCADE, related_name="history", db_index=False)  # the constraint leads
    at = models.DateTimeField()
    price = PriceField()

    class Meta:
        db_table = "spot_pricing_history"
        constraints = [
            models.UniqueConstraint(fields=["pool", "at"], name="spot_price_once"),
            models.CheckConstraint(condition=Q(price__gt=0), name="spot_price_positive"),
        ]
        indexes = [models.Index(fields=["pool", "at", "price"], name="spot_price_chart")]  # charts read the index alone

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.price}"
