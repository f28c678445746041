"""How long the fleet of all clients has been in each pool lately, and how often it was thrown out."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from decisions.engine import memory
from decisions.engine.types import Evidence
from decisions.models import PoolExperience
from instances.models import InterruptionEpisode
from spotopt.common.db import retried_transaction, upsert

EVERY = timedelta(minutes=10)
HOUR = timedelta(hours=1)


@retried_transaction
def gather(*, running: Mapping[str, int], now: datetime) -> int:
    """Bring the table up to `now`; `running`: spot primaries by pool. Returns the pools that were brought up to date.

    Time in which nobody looked is not guessed: at most EVERY counts as exposure.
    """
    known = {one.pool_id: one for one in PoolExperience.objects.select_for_update().order_by("pool_id")}
    latest = max((one.as_of for one in known.values()), default=None)
    if latest is not None and now - latest < EVERY:
        return 0
    since = latest or now - EVERY
    reclaims = _reclaims(since, now)
    rows = []
    for pool_id in sorted({*known, *running, *reclaims}):
        old = known.get(pool_id)
        told = Evidence(reclaims=old.reclaims, exposure_hours=old.exposure_hours) if old else Evidence()
        faded = memory.faded(told, now - old.as_of if old else timedelta(0))
        hours = running.get(pool_id, 0) * (min(now - since, EVERY) / HOUR)
        rows.append(
            PoolExperience(
                pool_id=pool_id,
                reclaims=faded.reclaims + reclaims[pool_id],
                exposure_hours=faded.exposure_hours + hours,
                as_of=now,
            )
        )
    upsert(PoolExperience, rows, key=["pool_id"], update=["reclaims", "exposure_hours", "as_of"])
    return len(rows)


def _reclaims(since: datetime, until: datetime) -> Counter[str]:
    episodes = InterruptionEpisode.objects.filter(
        detected_at__gt=since,
        detected_at__lte=until,
        is_drill=False,
        kind=InterruptionEpisode.Kind.TERMINATION,
    ).exclude(pool_id="")
    return Counter(episodes.values_list("pool_id", flat=True))
