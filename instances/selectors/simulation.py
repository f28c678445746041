"""What a move would change, per hour, day and month (dashboard-api 2.6). Figures nobody measured are null."""

from decimal import Decimal
from typing import Any

from instances.errors import PoolNotFound, PriceUnknown
from instances.models import Instance, Pool, Switch
from instances.selectors.market import list_quote, own_pool, place_of, pools_around, price_paid_now, quote_of
from instances.selectors.series import list_series, spot_series
from instances.selectors.volatility import CATEGORIES, DAY, Spread
from spotopt.common import clock
from spotopt.common.fields import Mode

MOST_SWITCHES = 500  # the newest of the tenant's, for the mean of their downtimes
STRONG = Decimal("0.002")  # USD per hour
RISKS = {"very_low": "low"}  # of a category; the others have the same name


def simulate_switch(*, instance: Instance, mode: str, pool_id: str) -> dict[str, Any]:
    """Nothing is ordered. Raises PoolNotFound, and PriceUnknown where the target's price is."""
    now = clock.now()
    instance_type, region = place_of(instance)
    listed = list_quote(instance_type=instance_type, region=region)
    ondemand = listed.price if listed else None
    current = own_pool(instance, pools_around(instance, at=now))
    paid = price_paid_now(instance, pool=current, ondemand=ondemand, at=now)
    pool = _pool(pool_id) if mode == Mode.SPOT else None
    target = quote_of(pool, at=now) if pool else ondemand
    if target is None:
        raise PriceUnknown(f"The price of {pool_id or 'on-demand'} is not known")
    span = {"since": now - DAY, "until": now}
    series = spot_series([pool], **span)[pool.pool_id] if pool else list_series(listed, **span)
    category = Spread.of(series, window=DAY, now=now).word(CATEGORIES)
    hourly = None if paid is None else paid - target
    return {
        "current_price": None if paid is None else float(paid),
        "target_price": float(target),
        "hourly_savings": _rounded(hourly, 1, 4),
        "daily_savings": _rounded(hourly, 24, 4),
        "monthly_savings": _rounded(hourly, 24 * 30, 2),
        "estimated_downtime_seconds": _mean_downtime(instance.client_id),
        "confidence": None,  # no model has an opinion here
        "volatility_risk": RISKS.get(category, category),
        "interruption_probability_24h": None,
        "recommendation": None if hourly is None else _recommendation(hourly),
        "target_mode": mode,
        "target_pool_id": pool_id or None,
    }


def _pool(pool_id: str) -> Pool:
    pool = Pool.objects.filter(pool_id=pool_id).first()
    if pool is None:
        raise PoolNotFound(pool_id)
    return pool


def _rounded(hourly: Decimal | None, hours: int, places: int) -> float | None:
    return None if hourly is None else round(float(hourly * hours), places)


def _recommendation(hourly: Decimal) -> str:
    if hourly > STRONG:
        return "strongly_recommended"
    if hourly > 0:
        return "recommended"
    return "neutral" if hourly == 0 else "not_recommended"


def _mean_downtime(client_pk: int) -> int | None:
    """Seconds, over the tenant's newest moves; those whose downtime nobody measured do not count."""
    moves = Switch.objects.filter(client=client_pk, success=True, is_anomalous=False).order_by("-created_at", "-id")
    newest = moves.values_list("downtime_seconds", flat=True)[:MOST_SWITCHES]
    measured = [seconds for seconds in newest if seconds is not None]
    return round(sum(measured) / len(measured)) if measured else None
