import gzip
import json
import logging

import pytest

from spotopt.simulator.prices import BadPrices, Pool, Series, built_in_ondemand, read_ondemand, read_spot_prices

POOL = Pool("t3.medium", "us-east-1a", "us-east-1")
NOON = 1_614_686_400.0  # 2021-03-02T12:00:00Z
HEADER = "timestamp,region,az,instance_type,product,price_usd_per_hour\n"
ROWS = (
    "2021-03-02T13:00:00Z,us-east-1,us-east-1a,t3.medium,Linux/UNIX,0.0128\n"
    "2021-03-02T12:00:00Z,us-east-1,us-east-1a,t3.medium,Linux/UNIX,0.0132\n"
)
HISTORY = [
    {
        "AvailabilityZone": "us-east-1a",
        "InstanceType": "t3.medium",
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": price,
        "Timestamp": timestamp,
    }
    for timestamp, price in (("2021-03-02T13:00:00+00:00", "0.012800"), ("2021-03-02T12:00:00.000Z", "0.013200"))
]


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "prices"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gzipped"])
@pytest.mark.parametrize(
    "text",
    [
        HEADER + ROWS,
        "\ufeff" + HEADER + ROWS,
        "timestamp,region,az,instance_type,price\n" + ROWS.replace("Linux/UNIX,", ""),
        json.dumps({"SpotPriceHistory": HISTORY}),
        json.dumps(HISTORY),
    ],
    ids=["data-files", "byte-order-mark", "documented-columns", "aws-cli", "bare-list"],
)
def test_every_form_of_a_price_file_gives_the_same_prices(write, pack, text):
    assert read_spot_prices(write(pack(text))) == {POOL: Series([NOON, NOON + 3600], [0.0132, 0.0128])}


def test_unusable_rows_are_left_out_and_counted(write, caplog):
    bad = (
        "yesterday,us-east-1,us-east-1a,t3.medium,Linux/UNIX,0.1\n"
        "2021-03-02T12:30:00Z,us-east-1,us-east-1a,t3.medium,Linux/UNIX,free\n"
        "2021-03-02T12:30:00Z,us-east-1,us-east-1a,t3.medium,Linux/UNIX,-1\n"
        "2021-03-02T12:30:00Z,us-east-1,us-east-1a,t3.medium,Linux/UNIX,nan\n"
        "2021-03-02T12:30:00Z,us-east-1,,t3.medium,Linux/UNIX,0.1\n"
        "2021-03-02T12:30:00Z,us-east-1,us-east-1a,t3.medium,Windows,0.1\n"
        "2021-03-02T12:30:00Z,us-east-1\n"
    )
    with caplog.at_level(logging.WARNING, logger="spotopt"):
        assert read_spot_prices(write(HEADER + bad + ROWS)) == {POOL: Series([NOON, NOON + 3600], [0.0132, 0.0128])}
    assert "7 of 9 rows" in caplog.text


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "no usable spot price"),
        ("a,b\n1,2\n", "expected timestamp, region, az, instance_type, price"),
        ('{"SpotPriceHistory": [', "no valid JSON"),
        (b"\xff\xfe\x00", "cannot be read"),
        (gzip.compress(ROWS.encode())[:-20], "cannot be read"),
        (gzip.compress(ROWS.encode())[:12] + b"\xff" * 60, "cannot be read"),
    ],
    ids=["empty", "other-columns", "cut-json", "not-text", "cut-gzip", "damaged-gzip"],
)
def test_a_file_without_prices_is_named_as_such(write, content, complaint):
    with pytest.raises(BadPrices, match=complaint):
        read_spot_prices(write(content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadPrices, match="nothing-here"):
        read_spot_prices(tmp_path / "nothing-here")


def test_the_list_price_of_the_nearest_era_counts(write):
    path = write(
        "region,instance_type,ondemand_usd_per_hour,era\n"
        "us-east-1,m4.large,0.12,2016\n"
        "us-east-1,m4.large,0.1,2018..2026\n"
        "us-east-1,m4.large,unknown,2017\n"
    )
    assert read_ondemand(path, year=2015) == {("us-east-1", "m4.large"): 0.12}
    assert read_ondemand(path, year=2021) == {("us-east-1", "m4.large"): 0.1}


def test_a_pool_that_was_not_offered_all_the_time_is_not_used():
    day = 24 * 3600
    daily = Series([NOON + day * n for n in range(11)], [0.01] * 11)
    gap = Series([t for t in daily.times if not NOON + 3 * day <= t < NOON + 6 * day], [0.01] * 8)
    late = Series(daily.times[3:], [0.01] * 8)
    assert daily.covers(NOON, NOON + 10 * day)
    assert not gap.covers(NOON, NOON + 10 * day)
    assert not late.covers(NOON, NOON + 10 * day)


def test_a_repeated_price_is_no_change():
    series = Series([NOON, NOON + 60, NOON + 120, NOON + 180], [0.01, 0.01, 0.02, 0.02])
    assert series.next_change(NOON) == NOON + 120
    assert series.next_change(NOON + 120) is None


def test_a_price_before_the_first_row_is_the_first_price():
    series = Series([NOON, NOON + 60], [0.01, 0.02])
    assert [series.at(NOON - 1), series.at(NOON + 59), series.at(NOON + 60)] == [0.01, 0.01, 0.02]


def test_the_built_in_list_prices_are_those_of_aws():
    assert built_in_ondemand("us-east-1")["us-east-1", "t3.medium"] == 0.0416
