"""PLACEHOLDER by the lead until helper-6's version replaces this file: overwrite it."""

from types import SimpleNamespace
from typing import Any


def parse_pricing_report(data: Any) -> Any:
    return SimpleNamespace(instance_id="")


def record_report(**_: Any) -> Any:
    return SimpleNamespace(report_id="x", records_inserted=0)
