"""When a price is news, the alerts on it are looked at; the rules are in `notifications.services.alerts`."""

from collections.abc import Collection, Iterable
from typing import Any

from clients.models import Client
from instances.errors import PoolNotFound
from instances.models import Pool, UsageInterval
from notifications.models import PricingAlert
from notifications.services import alerts
from notifications.services.alerts import Quote
from spotopt.common.db import retried_transaction


@retried_transaction
def create(*, client: Client, pool_id: str, **fields: Any) -> PricingAlert:
    """An alert that is crossed already fires at once. Raises PoolNotFound and TooManyAlerts."""
    pool = Pool.objects.select_related("ondemand").filter(pool_id=pool_id).first() if pool_id else None
    if pool_id and pool is None:
        raise PoolNotFound(pool_id)
    alert = alerts.create_alert(client=client, pool_id=pool_id, **fields)
    if alert.is_enabled:
        alerts.evaluate_new(alert=alert, quotes=_quotes([pool] if pool else _pools_used_by(client)))
        alert.refresh_from_db()
    return alert


def evaluate(*, pools: Iterable[Pool]) -> None:
    """Prices of these pools, or their list prices, have changed. In the caller's transaction."""
    alerts.evaluate(quotes=_quotes(pools), users_of=_users_of)


def _quotes(pools: Iterable[Pool]) -> list[Quote]:
    """An estimated list price is a guess, and nobody is woken for a guess."""
    return [
        Quote(p.pool_id, p.price, p.ondemand.price if p.ondemand and not p.ondemand.is_estimate else None)
        for p in pools
        if p.price is not None
    ]


def _users_of(pool_ids: Collection[str]) -> set[tuple[str, int]]:
    running = UsageInterval.objects.filter(pool_id__in=pool_ids, ended_at=None)
    return set(running.order_by().values_list("pool_id", "instance__client").distinct())


def _pools_used_by(client: Client) -> list[Pool]:
    running = UsageInterval.objects.filter(instance__client=client, ended_at=None).exclude(pool_id="")
    used = set(running.order_by().values_list("pool_id", flat=True).distinct())
    return list(Pool.objects.select_related("ondemand").filter(pool_id__in=used).order_by("pk"))
