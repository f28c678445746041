"""What a sighting of a price adds to its history: change points, and every 6 hours that it still holds.

A history row says "this price from here on", the latest one also until `last_confirmed_at`; readers carry a price for
PRICE_CARRY at most (`instances.selectors.prices`). So that a price means the same later as it does now, a row is
added at the last confirmation before a gap that is longer than that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q

from instances.models import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory, UsageInterval
from instances.selectors.prices import PRICE_CARRY
from instances.services import price_alerts, usage
from spotopt.common import clock
from spotopt.common.db import retried, retried_transaction, upsert

HEARTBEAT = timedelta(hours=6)
CREDIBLE_DEVIATION = Decimal("0.5")  # of an estimate from a known price (agent-api 3.10)
OVERTAKEN = timedelta(minutes=5)  # reports of one change reach us in any order; it is recorded once
Known = Pool | OnDemandPrice
Rows = dict[datetime, Decimal]


@dataclass(frozen=True)
class Sighting:
    """`price` is in effect since `at`, and an agent saw it at `seen_at`."""

    price: Decimal
    at: datetime
    seen_at: datetime


@dataclass(frozen=True)
class ListQuote:
    """An on-demand price in USD per hour; an estimate is the agent's own guess where it found none."""

    instance_type: str
    price: Decimal
    is_estimate: bool = False


def is_news(known: Known, seen: Sighting) -> bool:
    """False also for what is a little older than the latest confirmation: reports overtake each other."""
    if known.price is None or known.recorded_at is None or known.last_confirmed_at is None:
        return True
    if seen.seen_at < known.last_confirmed_at:
        return seen.seen_at < known.recorded_at
    return seen.price != known.price or seen.seen_at - known.recorded_at >= HEARTBEAT


def is_news_of_list(known: OnDemandPrice | None, quote: ListQuote, at: datetime) -> bool:
    if known is None:
        return True
    if quote.is_estimate:
        return known.is_estimate and known.price != quote.price and _is_credible(quote, known)
    return known.is_estimate or is_news(known, Sighting(quote.price, at, at))


def record(*, region: str, spot: Mapping[str, list[Sighting]], listed: Mapping[str, ListQuote], at: datetime) -> int:
    """Write the news and have hours computed again that it changes. Returns the number of history rows added.

    `spot` is by pool id, `listed` by instance type; without a region no list price is kept. Anything here may have
    been stored by another report since the caller looked, so each is judged again under its row's lock.
    """
    _create_missing(region, spot, listed if region else {}, at)
    return _record(region, spot, listed if region else {}, at)


@retried
def _create_missing(
    region: str, spot: Mapping[str, list[Sighting]], listed: Mapping[str, ListQuote], at: datetime
) -> None:
    """Outside the transaction: rows that another report is creating would be locked in its order, not in ours."""
    known_lists = OnDemandPrice.objects.filter(instance_type__in=listed, region=region)
    missing_lists = set(listed) - set(known_lists.values_list("instance_type", flat=True))
    if missing_lists:
        new_lists = [_new_list(listed[name], region, at) for name in sorted(missing_lists)]
        OnDemandPrice.objects.bulk_create(new_lists, ignore_conflicts=True)
    missing = set(spot) - set(Pool.objects.filter(pool_id__in=spot).values_list("pool_id", flat=True))
    if missing:
        Pool.objects.bulk_create([_new_pool(pool_id, region) for pool_id in sorted(missing)], ignore_conflicts=True)


def _new_list(quote: ListQuote, region: str, at: datetime) -> OnDemandPrice:
    return OnDemandPrice(
        instance_type=quote.instance_type,
        region=region,
        price=quote.price,
        is_estimate=quote.is_estimate,
        changed_at=at,
        last_confirmed_at=at,
    )


def _new_pool(pool_id: str, region: str) -> Pool:
    instance_type, _, az = pool_id.rpartition(".")
    return Pool(pool_id=pool_id, instance_type=instance_type, az=az, region=region)


@retried_transaction
def _record(region: str, spot: Mapping[str, list[Sighting]], listed: Mapping[str, ListQuote], at: datetime) -> int:
    pks = sorted(Pool.objects.filter(pool_id__in=spot).values_list("pk", flat=True))
    pools = list(Pool.objects.select_for_update().filter(pk__in=pks).order_by("pk"))
    types = {pool.instance_type for pool in pools} | set(listed)
    lists = OnDemandPrice.objects.filter(instance_type__in=types, region=region)
    list_pks = sorted(lists.values_list("pk", flat=True))
    quotes = list(OnDemandPrice.objects.select_for_update().filter(pk__in=list_pks).order_by("pk"))
    spot_before = {pool.pk: pool.price for pool in pools}
    lists_before = {quote.pk: (quote.price, quote.is_estimate) for quote in quotes}
    added = _record_spot(pools, spot, quotes) + _record_lists(quotes, listed, at)
    moved = [pool for pool in pools if pool.price != spot_before[pool.pk]]
    moved_lists = [quote.pk for quote in quotes if (quote.price, quote.is_estimate) != lists_before[quote.pk]]
    if moved_lists:
        compared = Pool.objects.select_related("ondemand").filter(ondemand__in=moved_lists)
        moved = list({pool.pk: pool for pool in [*moved, *compared.order_by("pk")]}.values())
    if moved:
        price_alerts.evaluate(pools=moved)
    return added


def _record_spot(pools: list[Pool], spot: Mapping[str, list[Sighting]], quotes: list[OnDemandPrice]) -> int:
    rows: list[SpotPriceHistory] = []
    for pool in pools:
        for seen in spot[pool.pool_id]:
            added, since = _news(pool, seen)
            rows += [SpotPriceHistory(pool=pool, at=at, price=price) for at, price in added.items()]
            correct_ledger(Q(pool_id=pool.pool_id), since)
        listed = next((q for q in quotes if q.instance_type == pool.instance_type and q.region == pool.region), None)
        pool.ondemand = listed or pool.ondemand
    fields = ["price", "changed_at", "last_confirmed_at", "recorded_at", "ondemand"]
    Pool.objects.bulk_update(pools, fields, batch_size=200)
    upsert(SpotPriceHistory, rows, key=["pool", "at"], update=["price"])
    return len(rows)


def _record_lists(quotes: list[OnDemandPrice], listed: Mapping[str, ListQuote], at: datetime) -> int:
    """An estimate is shown, marked as one, but has no history: no money is computed from a guess."""
    rows: list[OnDemandPriceHistory] = []
    changed: list[OnDemandPrice] = []
    for known in quotes:
        quote = listed.get(known.instance_type)
        if quote is None or not (is_news_of_list(known, quote, at) or known.recorded_at is None):
            continue
        changed.append(known)
        if quote.is_estimate:
            _replace_estimate(known, quote, at)
            continue
        if known.is_estimate:
            known.is_estimate, known.recorded_at = False, None
            known.price = None  # type: ignore[assignment]  # was never known
        added, since = _news(known, Sighting(quote.price, at, at))
        rows += [OnDemandPriceHistory(quote=known, at=moment, price=price) for moment, price in added.items()]
        correct_ledger(Q(instance__instance_type=known.instance_type), since)
    fields = ["price", "is_estimate", "changed_at", "last_confirmed_at", "recorded_at"]
    OnDemandPrice.objects.bulk_update(changed, fields, batch_size=200)
    upsert(OnDemandPriceHistory, rows, key=["quote", "at"], update=["price"])
    return len(rows)


def _replace_estimate(known: OnDemandPrice, quote: ListQuote, at: datetime) -> None:
    if known.is_estimate and known.price != quote.price and _is_credible(quote, known):
        known.price, known.changed_at, known.last_confirmed_at = quote.price, at, at


def _is_credible(estimate: ListQuote, known: OnDemandPrice) -> bool:
    return abs(estimate.price - known.price) <= CREDIBLE_DEVIATION * known.price


def _news(known: Known, seen: Sighting) -> tuple[Rows, datetime | None]:
    """History rows to add and the time since when they change what is known, if any; `known` is brought up to date."""
    if known.last_confirmed_at and known.recorded_at and seen.seen_at < known.last_confirmed_at:
        rows = _late_rows(known, seen)
        return rows, min(rows, default=None)
    return current_rows(known, seen)


def current_rows(known: Known, seen: Sighting) -> tuple[Rows, datetime | None]:
    recorded, confirmed = known.recorded_at, known.last_confirmed_at
    is_change = seen.price != known.price
    # A change that is said to be older than the newest row contradicts it, and counts from when it was seen.
    at = seen.at if is_change and (recorded is None or seen.at > recorded) else seen.seen_at
    rows: Rows = {}
    if is_change or recorded is None or at - recorded >= HEARTBEAT:
        rows[at] = seen.price
        if seen.seen_at - at >= HEARTBEAT:
            rows[seen.seen_at] = seen.price
    since = min(rows, default=None)
    if rows and confirmed and known.price and confirmed < at and (recorded is None or at - recorded > PRICE_CARRY):
        rows[confirmed] = known.price
    known.price = seen.price
    known.changed_at = at if is_change else known.changed_at
    known.recorded_at = max([*rows, *filter(None, [recorded])], default=None)
    known.last_confirmed_at = max(seen.seen_at, confirmed or seen.seen_at)
    return rows, since


def _late_rows(known: Known, seen: Sighting) -> Rows:
    """An older report leaves the latest price alone. It adds a change that explains the rows around it, or knowledge
    of a time of which nothing is known; where they agree on another price, they are two witnesses against one.
    """
    if known.recorded_at is None or seen.seen_at >= known.recorded_at:
        return {}
    before = known.history.filter(at__lte=seen.at).order_by("-at").values_list("at", "price").first()
    after = known.history.filter(at__gt=seen.at).order_by("at").values_list("at", "price").first()
    if after and after[1] == seen.price and after[0] - seen.at <= OVERTAKEN:
        return {}
    if before is None or seen.at - before[0] > PRICE_CARRY:
        return {seen.at: seen.price}
    is_change = seen.price != before[1] and after is not None and after[1] != before[1]
    return {seen.at: seen.price} if is_change and seen.at != before[0] else {}


def correct_ledger(used: Q, since: datetime | None) -> None:
    """Only hours that are final already: later ones are computed again anyway."""
    if since is None or since >= usage.final_before(clock.now()):
        return
    intervals = UsageInterval.objects.filter(used, Q(ended_at=None) | Q(ended_at__gt=since))
    pks: Iterable[int] = intervals.order_by().values_list("instance_id", flat=True).distinct()
    usage.ledger_wrong_from(sorted(pks), since=since)
