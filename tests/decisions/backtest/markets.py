"""Small markets, by hand and at random."""

from datetime import UTC, datetime, timedelta
from random import Random

from decisions.backtest.market import Market, PoolSeries

START = datetime(2026, 1, 1, tzinfo=UTC)


def series(name, prices, *, is_open=None, bucket=None, reclaims=0.0):
    opened = [price is not None and price <= 1.0 for price in prices] if is_open is None else is_open
    return PoolSeries(name, "r", bucket, prices, opened, reclaims)


def market(*pools, slot=timedelta(hours=1), **more):
    return Market("m", START, slot, 1.0, pools, **more)


def random_market(seed):
    dice = Random(seed)
    slots = dice.randint(1, 6)
    pools = []
    for number in range(dice.randint(1, 3)):
        prices = [dice.choice([0.1, 0.3, 0.5, 0.9, 1.2, None]) for _ in range(slots)]
        is_open = [price is not None and price <= 1 and dice.random() < 0.8 for price in prices]
        pools.append(series(f"p{number}", prices, is_open=is_open, reclaims=dice.choice([0, 0.2])))
    return market(*pools, slot=timedelta(minutes=dice.choice([10, 60])))
