"""A built-in spot market whose statistics follow real ones.

Measured on AWS's price history of us-east-1 (2021-03 to 05) and eu-west-1 (2021-12 to 2022-03), all Linux pools:

| quantity | 5 % | 25 % | median | 75 % | 95 % |
|---|---|---|---|---|---|
| price changes per pool and day | 0 | 0 | 0.4–1.8 | 3.0–3.7 | 3.9 |
| relative size of a change | 0.0002 | 0.001 | 0.002 | 0.004 | 0.013 |
| spot ÷ on-demand price | 0.22 | 0.30 | 0.32 | 0.39 | 0.51 |
| cheapest ÷ dearest zone of a type | 0.56 | 0.8 | 0.9–0.97 | 1 | 1 |
| correlation of daily changes between zones | -0.14 | 0.03 | 0.13–0.19 | 0.3 | 0.6 |
"""

import math
import random

from spotopt.simulator.prices import Pool, PriceBook, Series, built_in_ondemand

REGION = "us-east-1"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d")
DAY = 24 * 3600
CALM_POOLS = 0.35  # share of pools whose price hardly ever moves
CHANGES_PER_DAY = (2.0, 3.9)  # of the others
CHANGE_MEDIAN, CHANGE_SPREAD = 0.002, 1.2  # log-normal
SHARED_DIRECTION = 0.55  # how often a change goes the way the whole type goes that day: gives the correlation
LOWEST_RATIO, HIGHEST_RATIO = 0.18, 0.95


def generate(*, start: float, days: float, seed: int) -> PriceBook:
    """Prices of eight types in four zones. The same seed and start give the same prices."""
    rng = random.Random(f"market:{seed}")
    ondemand = built_in_ondemand(REGION)
    series = {}
    for (region, instance_type), list_price in ondemand.items():
        centre = min(0.6, max(0.22, rng.lognormvariate(math.log(0.33), 0.25)))
        trend = [rng.choice((-1, 1)) for _ in range(int(days) + 2)]
        for az in ZONES:
            ratio = centre * rng.uniform(0.92, 1.08)
            pool = Pool(instance_type, az, region)
            series[pool] = _walk(rng, start=start, days=days, list_price=list_price, ratio=ratio, trend=trend)
    return PriceBook(series, ondemand)


def _walk(
    rng: random.Random, *, start: float, days: float, list_price: float, ratio: float, trend: list[int]
) -> Series:
    rate = rng.uniform(0, 0.3) if rng.random() < CALM_POOLS else rng.uniform(*CHANGES_PER_DAY)
    series = Series([start], [round(list_price * ratio, 6)])
    level, at = ratio, start
    while rate > 0:
        at += rng.expovariate(rate) * DAY
        if at >= start + days * DAY:
            break
        size = rng.lognormvariate(math.log(CHANGE_MEDIAN), CHANGE_SPREAD)
        direction = trend[int((at - start) / DAY)] if rng.random() < SHARED_DIRECTION else rng.choice((-1, 1))
        pull = -0.05 * math.log(level / ratio)  # prices come back to where they were
        level = min(HIGHEST_RATIO, max(LOWEST_RATIO, level * math.exp(direction * size + pull)))
        series.times.append(at)
        series.prices.append(round(list_price * level, 6))
    return series
