import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from spotopt.common.fields import Mode
from spotopt.common.wire import (
    Identifier,
    IPAddress,
    Text,
    WireBool,
    WireInteger,
    WireList,
    WireMode,
    WireNumber,
    WireObject,
    WirePrice,
    WireSerializer,
    WireTime,
    clamp_time,
)

T0 = datetime(2025, 1, 20, 10, 45, tzinfo=UTC)


class Block(WireSerializer):
    instance_id = Identifier()


class Body(WireSerializer):
    aliases = {"mode": ("current_mode",), "az": ("availability_zone",)}
    mode = WireMode()
    az = Text(max_length=5)
    instance = Block()
    blocks = WireList(child=Block())


def test_every_field_is_present_whatever_arrives():
    empty = {"mode": Mode.UNKNOWN, "az": "", "instance": {"instance_id": ""}, "blocks": []}
    for data in (None, [], "text", 7, {}, {"mode": None, "az": None, "instance": [], "blocks": {}}):
        assert Body().parse(data) == empty


def test_an_alias_fills_in_for_a_missing_or_null_field():
    assert Body().parse({"current_mode": "OD"})["mode"] == "ondemand"
    assert Body().parse({"az": None, "availability_zone": "az-b"})["az"] == "az-b"
    assert Body().parse({"az": "unknown", "availability_zone": "az-b"})["az"] == "az-b"
    assert Body().parse({"az": "az-a", "availability_zone": "az-b"})["az"] == "az-a"


def test_nested_objects_and_lists_keep_only_usable_items():
    body = Body().parse({"instance": {"instance_id": "i-1", "extra": 1}, "blocks": [{"instance_id": "i-2"}, 3]})
    assert body["instance"] == {"instance_id": "i-1"}
    assert body["blocks"][0] == {"instance_id": "i-2"}


def test_a_list_drops_items_without_content():
    assert WireList(child=Identifier()).run_validation(["i-1", None, "", {}, "i-2"]) == ["i-1", "i-2"]


@pytest.mark.parametrize("value", [None, "", "  ", "unknown", "UNKNOWN", "None", "null"])
def test_placeholders_are_empty_text(value):
    assert Text(max_length=10).run_validation(value) == ""


def test_text_is_made_storable():
    assert Text(max_length=4).run_validation(" a\0bcdef") == "abcd"
    assert Text(max_length=9).run_validation(json.loads(r'"a\ud800b"')) == "ab"  # half a surrogate pair
    assert Text(max_length=9).run_validation(3.5) == "3.5"


def test_an_object_is_no_identifier():
    assert [Identifier().run_validation(v) for v in ({"a": 1}, ["i-1"], True, 17)] == ["", "", "", "17"]


@pytest.mark.parametrize("value", ["ondemand", "on-demand", "on_demand", "OD", " On-Demand ", "ON_DEMAND"])
def test_spellings_of_on_demand(value):
    assert WireMode().run_validation(value) is Mode.ONDEMAND


def test_other_modes():
    assert [WireMode().run_validation(v) for v in ("SPOT", "unknown", None, 3, {}, "reserved")] == [
        Mode.SPOT,
        *[Mode.UNKNOWN] * 5,
    ]


@pytest.mark.parametrize(
    "value",
    [
        "2025-01-20T10:45:00Z",
        "2025-01-20T10:45:00.000000+00:00",
        "2025-01-20T10:45:00",
        "2025-01-20 10:45:00",
        "2025-01-20T10:45:00+00:00Z",
        "2025-01-20T12:45:00+02:00",
        1737369900,
        1737369900.0,
        "1737369900",
        1737369900000,
    ],
)
def test_every_time_format_of_the_agents(value):
    assert WireTime().run_validation(value) == T0


@pytest.mark.parametrize("value", [None, "", "soon", {}, True, "0001-01-01T00:00+14:00", 1e300, float("nan")])
def test_what_is_no_time_is_unknown(value):
    assert WireTime().run_validation(value) is None


def test_unbelievable_times_become_the_time_of_receipt():
    for value in (None, T0 + timedelta(minutes=6), T0 - timedelta(days=8)):
        assert clamp_time(value, received_at=T0) == T0
    for value in (T0 + timedelta(minutes=4), T0 - timedelta(days=6)):
        assert clamp_time(value, received_at=T0) == value


@pytest.mark.parametrize(("value", "price"), [(0.0132, "0.0132"), ("0.0132", "0.0132"), (1.23456789, "1.234568")])
def test_prices_are_decimals_with_six_places(value, price):
    assert WirePrice().run_validation(value) == Decimal(price)
    assert WirePrice().run_validation(value).as_tuple().exponent == -6


@pytest.mark.parametrize(
    "value", [None, "", "free", 0, 0.0, -1, 1e-9, 1e99, 10_001, "NaN", float("nan"), float("inf"), True, []]
)
def test_what_cannot_be_a_price_is_unknown(value):
    assert WirePrice().run_validation(value) is None


def test_numbers_keep_to_their_range():
    field = WireNumber(minimum=Decimal(0), maximum=Decimal(100), places=2)
    assert [field.run_validation(v) for v in (-1, 0, "40.555", 100, 101, "NaN")] == [
        None,
        Decimal(0),
        Decimal("40.56"),
        Decimal(100),
        None,
        None,
    ]


def test_whole_numbers_fit_their_column():
    assert [WireInteger().run_validation(v) for v in (7, "7", 7.9, -1, 2**40, 10**400, "x", True)] == [
        *[7] * 3,
        *[None] * 5,
    ]


def test_booleans_and_their_words():
    assert [WireBool().run_validation(v) for v in (True, 1, "yes", "TRUE")] == [True] * 4
    assert [WireBool().run_validation(v) for v in (False, 0, "no")] == [False] * 3
    assert WireBool().run_validation(None) is None
    assert WireBool(default=False).run_validation({}) is False


def test_objects_are_made_storable():
    deep: dict = {}
    for _ in range(200):
        deep = {"a": deep}
    assert WireObject().run_validation([1]) == {}
    assert WireObject().run_validation({"k\0": ["a\0", float("nan")]}) == {"k": ["a", None]}
    assert len(json.dumps(WireObject().run_validation(deep))) < 200


def test_addresses():
    values = ("10.0.0.7", "fe80::1", "unknown", None, "10.0.0", 5, {})
    assert [IPAddress().run_validation(v) for v in values] == ["10.0.0.7", "fe80::1", "", "", "", "", ""]
