import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from decisions.models import SpotAdvice

pytestmark = pytest.mark.django_db


def advisor(**advice):
    return {
        "ranges": [{"index": 0, "label": "<5%", "dots": 0, "max": 5}],
        "instance_types": {"m5.large": {"cores": 2, "emr": True, "ram_gb": 8.0}},
        "spot_advisor": {
            "us-east-1": {
                "Linux": {"m5.large": {"s": 60, "r": 1} | advice},
                "Windows": {"m5.large": {"s": 10, "r": 4}},
            },
            "eu-west-1": {"Linux": {"x9.new": {"s": 70, "r": 0}}},
        },
    }


def load(tmp_path, data, *options):
    path = tmp_path / "spot-advisor-data.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    out = StringIO()
    call_command("load_spot_advisor", path, *options, stdout=out)
    return out.getvalue()


def rows():
    return list(
        SpotAdvice.objects.order_by("region").values_list("region", "instance_type", "bucket", "vcpu", "ram_gb")
    )


def test_awss_file_becomes_rows(tmp_path):
    assert load(tmp_path, advisor()) == "2 types and regions.\n"
    assert rows() == [("eu-west-1", "x9.new", 0, None, None), ("us-east-1", "m5.large", 1, 2.0, 8.0)]


def test_a_newer_file_replaces_the_older(tmp_path):
    load(tmp_path, advisor())
    load(tmp_path, advisor(r=3))
    assert [row[2] for row in rows()] == [0, 3]


def test_another_system_can_be_read(tmp_path):
    load(tmp_path, advisor(), "--system", "Windows")
    assert [row[2] for row in rows()] == [4]


@pytest.mark.parametrize(
    "data", ["no json", "[]", {"spot_advisor": {}}, advisor(r=9), advisor(r=None), advisor(r=True), advisor(s=400)]
)
def test_a_file_that_is_not_as_expected_changes_nothing(tmp_path, data):
    load(tmp_path, advisor())
    with pytest.raises(CommandError, match="is not the spot advisor's file"):
        load(tmp_path, data)
    assert len(rows()) == 2


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("load_spot_advisor", tmp_path / "none.json")
