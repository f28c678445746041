import random

import pytest

from spotopt.simulator.account import account_of, relative_difference
from spotopt.simulator.ec2 import Cloud, Ec2Error
from spotopt.simulator.prices import PriceBook, Series
from spotopt.simulator.workload import Serving
from tests.simulator.worlds import HOUR, ONDEMAND, POOL_A, POOL_B, START, add_workload, make_world, price_book


def launch(cloud, *, pool=POOL_A, mode="spot", at=START):
    """Running exactly from `at` on."""
    rng = random.Random(f"{mode}{at}")  # ids of their own
    instance = cloud.launch(owner="web", pool=pool, mode=mode, ami_id="ami-1", now=at, rng=rng)
    instance.running_at = at
    return instance


# --- The bill -------------------------------------------------------------------------------------------------------


def test_spot_time_is_billed_at_the_price_of_the_moment():
    changing = Series([START - HOUR, START + HOUR, START + 1.5 * HOUR], [0.0132, 0.0200, 0.0100])
    cloud = Cloud(PriceBook({POOL_A: changing}, {("us-east-1", "t3.medium"): ONDEMAND}))
    instance = launch(cloud)
    cloud.terminate(instance.id, now=START + 3 * HOUR, rng=random.Random(1))
    # 1 h at 0.0132, half an hour at 0.0200, 1.5 h at 0.0100
    assert cloud.bill(instance, START - HOUR, START + 9 * HOUR) == pytest.approx(0.0132 + 0.0100 + 0.0150)
    # a quarter of an hour at each side of the first change
    assert cloud.bill(instance, START + 0.75 * HOUR, START + 1.25 * HOUR) == pytest.approx(0.0033 + 0.0050)


def test_ondemand_time_is_billed_at_the_list_price_by_the_second():
    cloud = Cloud(price_book())
    instance = launch(cloud, mode="ondemand")
    assert cloud.bill(instance, START, START + 90) == pytest.approx(ONDEMAND * 90 / 3600)


def test_nothing_is_billed_before_an_instance_runs_or_after_it_ended():
    cloud = Cloud(price_book())
    instance = launch(cloud)
    cloud.reclaim(instance, now=START + HOUR)
    assert cloud.bill(instance, START - HOUR, START) == 0
    assert cloud.bill(instance, START + HOUR, START + 2 * HOUR) == 0


# --- The life of an instance ----------------------------------------------------------------------------------------


def test_an_instance_boots_runs_shuts_down_and_is_gone():
    cloud = Cloud(price_book())
    instance = cloud.launch(
        owner="web", pool=POOL_A, mode="spot", ami_id="ami-1", now=START, rng=random.Random(1), surely=True
    )
    assert instance.state(START) == "pending"
    assert instance.state(instance.running_at) == "running"
    cloud.terminate(instance.id, now=START + HOUR, rng=random.Random(1))
    assert instance.state(START + HOUR) == "shutting-down"
    assert instance.state(instance.gone_at) == "terminated"
    assert cloud.describe(START + HOUR, region="us-east-1") == []


def test_only_the_own_region_is_listed():
    cloud = Cloud(price_book())
    instance = launch(cloud)
    assert cloud.describe(START, region="us-east-1") == [instance]
    assert cloud.describe(START, region="eu-west-1") == []


def test_a_reclaimed_instance_ends_at_once():
    cloud = Cloud(price_book())
    instance = launch(cloud)
    cloud.reclaim(instance, now=START + HOUR)
    assert instance.state(START + HOUR) == "terminated"
    assert instance.was_reclaimed


def test_ec2_refuses_in_its_own_words():
    cloud = Cloud(price_book(), capacity_failures=1, termination_failures=1)
    with pytest.raises(Ec2Error, match="^InsufficientInstanceCapacity: "):
        launch(cloud)
    with pytest.raises(Ec2Error, match="^InvalidInstanceID.NotFound: "):
        cloud.terminate("i-unknown", now=START, rng=random.Random(1))
    instance = cloud.launch(
        owner="web", pool=POOL_A, mode="spot", ami_id="ami-1", now=START, rng=random.Random(1), surely=True
    )
    with pytest.raises(Ec2Error, match="^RequestLimitExceeded: "):
        cloud.terminate(instance.id, now=START, rng=random.Random(1))


# --- The account of the savings: the worked values of dashboard-api 5.3 ---------------------------------------------


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def workload(world):
    workload = add_workload(world)
    workload.instances[0].running_at = START
    return workload


def test_two_hours_on_spot_save_568_ten_thousandths(world, workload):
    workload.served = [Serving(workload.instances[0], START)]
    account = account_of(world, start=START, end=START + 2 * HOUR)
    assert account.baseline == pytest.approx(0.0832)
    assert account.paid == pytest.approx(0.0264)
    assert account.savings == pytest.approx(0.0568)
    assert account.overhead == pytest.approx(0)
    assert account.hours == pytest.approx(2)


def test_an_hour_of_a_standby_is_paid_and_has_no_baseline(world, workload):
    workload.served = [Serving(workload.instances[0], START)]
    standby = launch(world.cloud, pool=POOL_B)
    standby.ended_at = START + HOUR
    account = account_of(world, start=START, end=START + 2 * HOUR)
    assert account.paid == pytest.approx(0.0392)
    assert account.overhead == pytest.approx(0.0128)
    assert account.savings == pytest.approx(0.0440)


def test_an_hour_ondemand_then_an_hour_on_spot(world, workload):
    first, second = launch(world.cloud, mode="ondemand"), launch(world.cloud, at=START + HOUR)
    workload.instances[0].ended_at = START  # not part of this one
    first.ended_at = START + HOUR
    workload.served = [Serving(first, START, START + HOUR), Serving(second, START + HOUR)]
    account = account_of(world, start=START, end=START + 2 * HOUR)
    assert account.baseline == pytest.approx(0.0832)
    assert account.paid == pytest.approx(0.0548)
    assert account.savings == pytest.approx(0.0284)


def test_an_outage_has_no_baseline(world, workload):
    workload.served = [Serving(workload.instances[0], START, START + HOUR)]
    account = account_of(world, start=START, end=START + 2 * HOUR)
    assert account.baseline == pytest.approx(ONDEMAND)
    assert account.paid == pytest.approx(0.0264)


def test_the_difference_of_two_accounts_is_relative_to_ours():
    assert relative_difference(2.0, 1.98) == pytest.approx(0.01)
    assert relative_difference(-2.0, -2.02) == pytest.approx(0.01)
    assert relative_difference(0, 0) == 0
    assert relative_difference(0, 0.001) == 1
