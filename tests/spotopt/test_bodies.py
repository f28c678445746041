import pytest
from rest_framework import serializers

from spotopt.common.bodies import JsonBody


class BodyIn(JsonBody):
    text = serializers.CharField(required=False, allow_null=True)
    flag = serializers.BooleanField(required=False)
    count = serializers.IntegerField(required=False)
    share = serializers.FloatField(required=False)
    names = serializers.ListField(child=serializers.CharField(), required=False)


@pytest.mark.parametrize(
    "body", [{}, {"text": "5", "flag": False, "count": 3, "share": 1, "names": ["a"]}, {"text": None}, {"share": 0.5}]
)
def test_json_types_as_described_are_taken(body):
    assert BodyIn(data=body).is_valid()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 5),
        ("text", True),
        ("flag", "no"),
        ("flag", 1),
        ("count", "3"),
        ("count", True),
        ("share", "0.5"),
        ("names", ["a", 5]),
        ("names", "a"),
    ],
)
def test_nothing_is_converted(name, value):
    body = BodyIn(data={name: value})
    assert not body.is_valid()
    assert list(body.errors) == [name]
