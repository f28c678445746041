"""Prices of AWS's own history (`import_prices`): only for times of which nothing is known here.

AWS lists a price when it changes, and repeats one that stays about once a day; after LONGEST_GAP without a row the pool
was not offered. So a price holds from its row to the next, which is what is told to the rule of live reports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from django.conf import settings

from instances.models import OnDemandPrice, Pool
from instances.selectors.prices import PRICE_CARRY
from instances.services import price_backfill
from instances.services.price_news import Sighting
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.fields import pool_id_of
from spotopt.common.wire import MAX_FUTURE

LONGEST_GAP = timedelta(hours=48)
Quote = tuple[datetime, Decimal]


@dataclass
class Imported:
    """Of one pool or of several: quotes by what became of them, and the rows of history they made."""

    pools: int = 0
    new_pools: int = 0
    rows: int = 0
    used: int = 0
    known: int = 0  # of times whose prices are here already
    expired: int = 0  # older than PRICE_RETENTION_DAYS: the next prune_history would delete them
    future: int = 0

    def __iadd__(self, other: "Imported") -> "Imported":
        for name, number in vars(other).items():
            setattr(self, name, getattr(self, name) + number)
        return self


@retried_transaction
def import_prices(
    *, instance_type: str, az: str, region: str, quotes: Sequence[Quote], dry_run: bool = False
) -> Imported:
    """The `quotes` of one pool, oldest first, in USD per hour. The same ones again change nothing."""
    done = Imported(pools=1)
    pool_id = pool_id_of(instance_type, az)
    pool = Pool.objects.select_for_update().filter(pool_id=pool_id).first()
    usable = _usable(quotes, done)
    if pool is None:
        done.new_pools = 1
        if not dry_run and usable:
            listed = OnDemandPrice.objects.filter(instance_type=instance_type, region=region).first()
            pool = Pool.objects.create(
                pool_id=pool_id, instance_type=instance_type, az=az, region=region, ondemand=listed
            )
    for past, part in _parts(pool, usable):
        rows = price_backfill.replay(past, _sightings(part))
        done.used += len(part)
        done.rows += len(rows)
        if pool and not dry_run:
            price_backfill.store(known=pool, past=past, rows=rows)
    done.known = len(usable) - done.used
    return done


def _usable(quotes: Sequence[Quote], done: Imported) -> list[Quote]:
    now = clock.now()
    first, last = now - timedelta(days=settings.PRICE_RETENTION_DAYS), now + MAX_FUTURE
    done.expired = sum(at < first for at, _ in quotes)
    done.future = sum(at > last for at, _ in quotes)
    return [(at, price) for at, price in quotes if first <= at <= last]


def _parts(pool: Pool | None, quotes: list[Quote]) -> Iterator[tuple[Pool, list[Quote]]]:
    """(what is known of the time before them, quotes): those before all that is known, and those after it."""
    begins = price_backfill.first_row_after(pool, None) if pool else None
    if earlier := [quote for quote in quotes if begins is None or quote[0] < begins]:
        yield price_backfill.blank(Pool), earlier
    if pool is None or begins is None or pool.last_confirmed_at is None:
        return
    if later := [quote for quote in quotes if quote[0] > pool.last_confirmed_at]:
        state = {name: getattr(pool, name) for name in price_backfill.STATE}
        yield price_backfill.blank(Pool, **state), later


def _sightings(quotes: list[Quote]) -> Iterator[Sighting]:
    for (at, price), (next_at, _) in pairwise(quotes):
        yield Sighting(price, at, at)
        gap = next_at - at
        if PRICE_CARRY < gap <= LONGEST_GAP:  # readers carry no row for that long
            yield Sighting(price, at + gap / 2, at + gap / 2)
    at, price = quotes[-1]
    yield Sighting(price, at, at)
