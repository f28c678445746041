"""The generator against the table of facts in its docstring; bounds are the facts' with room for one seed."""

import itertools
import math
import statistics

import pytest

from spotopt.simulator import market

START, DAYS, DAY = 1.7e9, 90, 86400


@pytest.fixture(scope="module")
def book():
    return market.generate(start=START, days=DAYS, seed=1)


def test_the_same_seed_gives_the_same_prices(book):
    assert market.generate(start=START, days=DAYS, seed=1).series == book.series
    assert market.generate(start=START, days=DAYS, seed=2).series != book.series


def test_eight_types_in_four_zones_are_on_offer(book):
    assert len(book.series) == 32
    assert all(series.covers(START, START + DAY) for series in book.series.values())


def test_prices_change_as_often_as_on_aws(book):
    per_day = statistics.quantiles([(len(s.times) - 1) / DAYS for s in book.series.values()], n=20)
    assert per_day[0] < 0.3
    assert per_day[18] < 4.5
    assert 0.4 < statistics.median((len(s.times) - 1) / DAYS for s in book.series.values()) < 3.7


def test_changes_are_as_small_as_on_aws(book):
    sizes = [abs(b / a - 1) for s in book.series.values() for a, b in itertools.pairwise(s.prices)]
    twentieths = statistics.quantiles(sizes, n=20)
    assert 0.001 < statistics.median(sizes) < 0.004
    assert twentieths[0] < 0.001
    assert 0.007 < twentieths[18] < 0.03


def test_spot_costs_a_third_of_the_list_price_and_never_more_than_it(book):
    ratios = [p / book.ondemand[pool.region, pool.instance_type] for pool, s in book.series.items() for p in s.prices]
    assert 0.25 < statistics.median(ratios) < 0.40
    assert min(ratios) > market.LOWEST_RATIO * 0.99
    assert max(ratios) < market.HIGHEST_RATIO * 1.01


def test_zones_of_a_type_cost_nearly_the_same_and_move_somewhat_together(book):
    spreads, correlations = [], []
    for region, instance_type in book.ondemand:
        pools = book.pools(instance_type, region)
        for day in range(0, DAYS, 5):
            prices = [book.spot(pool, START + day * DAY) for pool in pools]
            spreads.append(min(prices) / max(prices))
        moves = [
            [math.log(book.spot(p, START + (d + 1) * DAY) / book.spot(p, START + d * DAY)) for d in range(DAYS - 1)]
            for p in pools
        ]
        lively = [series for series in moves if statistics.pstdev(series) > 0]
        correlations += [statistics.correlation(a, b) for a, b in itertools.combinations(lively, 2)]
    assert 0.8 < statistics.median(spreads) < 0.98
    assert 0.03 < statistics.median(correlations) < 0.3
