"""Pricing alerts (dashboard-api 2.4): a notification when a price crosses a threshold, and none while it stays there.

Fires beyond the threshold; armed again only when the value is back by RELEASE of it, so that a price that trembles
around the threshold is told once (hysteresis).
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction

from clients.models import Client
from notifications.errors import TooManyAlerts
from notifications.models import AlertCrossing, PricingAlert
from notifications.services import notify
from spotopt.common import clock

Kind = PricingAlert.Kind
MOST_PER_CLIENT = 100
RELEASE = Decimal("0.02")  # of the threshold
CHANNELS = ("dashboard", "webhook", "email")  # the inbox gets every alert; the others where an operator set them up

UsersOf = Callable[[Collection[str]], set[tuple[str, int]]]


@dataclass(frozen=True)
class Quote:
    """Prices of a pool in USD per hour; `ondemand` None: not known."""

    pool_id: str
    spot: Decimal
    ondemand: Decimal | None = None


@transaction.atomic
def create_alert(*, client: Client, **fields: Any) -> PricingAlert:
    """Raises TooManyAlerts. The client's row is locked, or two calls at once could pass the limit."""
    Client.objects.select_for_update().get(pk=client.pk)
    if PricingAlert.objects.filter(client=client).count() >= MOST_PER_CLIENT:
        raise TooManyAlerts(MOST_PER_CLIENT)
    return PricingAlert.objects.create(client=client, **fields)


def evaluate(*, quotes: Iterable[Quote], users_of: UsersOf) -> int:
    """Look at the alerts that changed prices concern, in the caller's transaction. Returns how many fired.

    `users_of` gives (pool id, client's primary key) for the clients that run something in these pools; it is asked
    only when an alert about any pool exists.
    """
    by_pool = {quote.pool_id: quote for quote in quotes}
    return sum(_judge(alert, by_pool[pool_id]) for alert, pool_id in _concerned(by_pool, users_of))


def evaluate_new(*, alert: PricingAlert, quotes: Iterable[Quote]) -> None:
    """Somebody who sets a threshold wants to know that it is crossed already."""
    for quote in quotes:
        _judge(alert, quote)


def _concerned(pool_ids: Collection[str], users_of: UsersOf) -> list[tuple[PricingAlert, str]]:
    enabled = PricingAlert.objects.filter(is_enabled=True).select_related("client").order_by("pk")
    named = [(alert, alert.pool_id) for alert in enabled.filter(pool_id__in=pool_ids)]
    if not enabled.filter(pool_id="").exists():
        return named
    users = sorted(users_of(pool_ids))
    general: dict[int, list[PricingAlert]] = {}
    for alert in enabled.filter(pool_id="", client__in={client for _, client in users}):
        general.setdefault(alert.client_id, []).append(alert)
    return named + [(alert, pool_id) for pool_id, client in users for alert in general.get(client, [])]


def _judge(alert: PricingAlert, quote: Quote) -> bool:
    value = value_of(alert.alert_type, quote)
    if value is None:
        return False
    if is_beyond(alert.alert_type, value, alert.threshold):
        _, is_new = AlertCrossing.objects.get_or_create(alert=alert, pool_id=quote.pool_id)
        if is_new:
            _fire(alert, quote, value)
        return is_new
    if is_back(alert.alert_type, value, alert.threshold):
        AlertCrossing.objects.filter(alert=alert, pool_id=quote.pool_id).delete()
    return False


def value_of(kind: str, quote: Quote) -> Decimal | None:
    """What is compared: the spot price, or how many percent it is below on-demand."""
    if kind != Kind.SAVINGS_BELOW:
        return quote.spot
    return None if not quote.ondemand else (1 - quote.spot / quote.ondemand) * 100


def is_beyond(kind: str, value: Decimal, threshold: Decimal) -> bool:
    return value > threshold if kind == Kind.PRICE_ABOVE else value < threshold


def is_back(kind: str, value: Decimal, threshold: Decimal) -> bool:
    if kind == Kind.PRICE_ABOVE:
        return value <= threshold * (1 - RELEASE)
    return value >= threshold * (1 + RELEASE)


def _fire(alert: PricingAlert, quote: Quote, value: Decimal) -> None:
    PricingAlert.objects.filter(pk=alert.pk).update(last_triggered_at=clock.now())
    notify(
        client=alert.client,
        notification_type="pricing_alert",
        severity="warning",
        message=_text(alert, quote, value),
        metadata={
            "alert_id": alert.public_id,
            "alert_type": alert.alert_type,
            "pool_id": quote.pool_id,
            "threshold": float(alert.threshold),
            "value": round(float(value), 6),
            "channels": alert.channels,
        },
    )


def _text(alert: PricingAlert, quote: Quote, value: Decimal) -> str:
    limit = f"{alert.threshold.normalize():f}"
    if alert.alert_type == Kind.SAVINGS_BELOW:
        return f"Spot in {quote.pool_id} saves {value:.1f} % of the on-demand price, less than {limit} %"
    word = "above" if alert.alert_type == Kind.PRICE_ABOVE else "below"
    return f"The spot price of {quote.pool_id} is {quote.spot:f} USD per hour, {word} {limit}"
