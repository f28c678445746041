"""A small language for the shapes of answers, and what every JSON body of ours must keep (dashboard-api 1.9).

A shape is a type, `Null(shape)`, `OneOf("a", "b")`, a one-item list (each item has that shape) or a dict of shapes;
answers may have more keys than the dict, never fewer.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

LOOKS_LIKE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
IS_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


class Number:
    """A JSON number, whole or not."""


class Time:
    """UTC, ends in Z."""


class Day:
    """YYYY-MM-DD."""


@dataclass(frozen=True)
class Null:
    shape: Any


class OneOf:
    def __init__(self, *values):
        self.values = values


def strict(response):
    """The body as a browser's parser takes it: no NaN, no Infinity, one JSON text."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    assert response["Content-Type"] == "application/json", response["Content-Type"]
    return json.loads(response.content, parse_constant=refuse)


def assert_shape(value, shape, where="$"):
    if isinstance(shape, Null):
        if value is not None:
            assert_shape(value, shape.shape, where)
    elif isinstance(shape, OneOf):
        assert value in shape.values, f"{where} is {value!r}, not one of {shape.values}"
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{where} is {value!r}, not an object"
        for key, inner in shape.items():
            assert key in value, f"{where}.{key} is missing from {sorted(value)}"
            assert_shape(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where} is {value!r}, not an array"
        for number, item in enumerate(value):
            assert_shape(item, shape[0], f"{where}[{number}]")
    else:
        assert _is(value, shape), f"{where} is {value!r}, not {shape}"


def _is(value, kind):
    if kind is Number:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is Time:
        return isinstance(value, str) and IS_UTC.fullmatch(value) is not None
    if kind is Day:
        return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def assert_times_are_utc(value):
    """Whatever looks like a moment says its zone, wherever in the body it stands."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            assert_times_are_utc(inner)
    elif isinstance(value, str) and LOOKS_LIKE_TIME.match(value):
        assert IS_UTC.fullmatch(value), f"{value} does not end in Z"
