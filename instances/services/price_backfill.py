"""Past prices in bulk, through the same rule as live reports: change points, and rows that say a price still holds.

    past = blank(Pool)                                  # or as an earlier replay left it
    rows = replay(past, sightings)                      # before first_row_after(pool, past.last_confirmed_at)
    store(known=pool, past=past, rows=rows)

Only time before what is known here is filled in: two accounts of the same hours would contradict each other.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Q

from instances.models import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory
from instances.services import price_news
from instances.services.price_news import Known, Rows, Sighting
from spotopt.common.db import upsert

K = TypeVar("K", Pool, OnDemandPrice)
STATE = ("price", "changed_at", "last_confirmed_at", "recorded_at")
BATCH = 2000


def blank(model: type[K], **state: Any) -> K:
    """A price nobody has seen yet, or as `state` says; not of the database."""
    return model(**dict.fromkeys(STATE) | state)


def first_row_after(known: Known, at: datetime | None) -> datetime | None:
    """From when on the history here is somebody else's."""
    rows = known.history.filter(at__gt=at) if at else known.history.all()
    found: datetime | None = rows.order_by("at").values_list("at", flat=True).first()
    return found


def replay(past: Known, sightings: Iterable[Sighting]) -> Rows:
    """The history rows of `sightings`, oldest first; `past` is brought up to the last one."""
    rows: Rows = {}
    for seen in sightings:
        added, _ = price_news.current_rows(past, seen)
        rows |= added
    return rows


@transaction.atomic
def store(*, known: Known, past: Known, rows: Rows) -> None:
    """Add the rows to `known`, which becomes what `past` is unless newer reports are here. The past fires no alerts."""
    known = type(known)._default_manager.select_for_update().get(pk=known.pk)
    if isinstance(known, Pool):
        spot = [SpotPriceHistory(pool=known, at=at, price=price) for at, price in rows.items()]
        upsert(SpotPriceHistory, spot, key=["pool", "at"], update=["price"], batch_size=BATCH)
        used = Q(pool_id=known.pool_id)
    else:
        listed = [OnDemandPriceHistory(quote=known, at=at, price=price) for at, price in rows.items()]
        upsert(OnDemandPriceHistory, listed, key=["quote", "at"], update=["price"], batch_size=BATCH)
        used = Q(instance__instance_type=known.instance_type)
    if _is_older(known, past):
        for name in STATE:
            setattr(known, name, getattr(past, name))
        if isinstance(known, OnDemandPrice):
            known.is_estimate = False
        known.save()
    price_news.correct_ledger(used, min(rows, default=None))


def _is_older(known: Known, past: Known) -> bool:
    """An estimate, which has no history, gives way to any price that was seen."""
    if known.last_confirmed_at is None or known.recorded_at is None:
        return True
    return past.last_confirmed_at is not None and known.last_confirmed_at <= past.last_confirmed_at
