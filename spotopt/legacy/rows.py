"""Values of the old database made usable. What is unusable becomes "not known", and the row's note says so."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from spotopt.common import logs
from spotopt.common.fields import Mode, split_pool_id
from spotopt.common.wire import clean_mode, clean_number, clean_price, clean_text, storable

MAX_ID = 64
FIRST_YEAR = 2006  # of EC2: earlier times are zero dates and reset clocks
_PLACEHOLDERS = ("replica-", "manual-", "emergency-", "i-pending-", "pending-", "temp-")
_STANDARD_ZONE = re.compile(r"([a-z]{2}(?:-gov)?-[a-z]+-\d)[a-z]")
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")


class Skip(Exception):
    """This row is not moved, for a reason that the report counts."""


class Row:
    """One row. Text is stripped and storable, times are aware UTC, and every look-up of nothing gives nothing."""

    def __init__(self, values: dict[str, Any], note: Callable[[str], None] = lambda text: None) -> None:
        self.values = values
        self.note = note

    def has(self, column: str) -> bool:
        return self.values.get(column) is not None

    def text(self, column: str, length: int = 255) -> str:
        value = self.values.get(column)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        whole = clean_text(value)
        if len(whole) > length:
            self.note(f"{column} cut to {length} characters")
        return whole[:length].rstrip()

    def prose(self, column: str) -> str:
        """Free text, which may quote a token."""
        return logs.redact(self.text(column, 10_000))

    def key(self, column: str) -> str:
        """An id as it is; "" for none. Raises Skip for one that is too long to be kept, as a cut one names nothing."""
        value = self.text(column, 10_000)
        if len(value) > MAX_ID:
            raise Skip(f"{column} is longer than {MAX_ID} characters")
        return value

    def instance_id(self, column: str) -> str:
        """An EC2 id; "" for the old server's placeholders and for nonsense."""
        value = self.text(column, 10_000)
        return "" if len(value) > MAX_ID or value.startswith(_PLACEHOLDERS) else value

    def time(self, *columns: str) -> datetime | None:
        """Of the first of these columns that has one."""
        for column in columns:
            value = self.values.get(column)
            if isinstance(value, datetime) and value.year >= FIRST_YEAR:
                return value.replace(tzinfo=UTC)
        return None

    def price(self, column: str) -> Decimal | None:
        return clean_price(self.values.get(column))

    def number(self, column: str, *, minimum: int, maximum: int, places: int = 0) -> Decimal | None:
        """None, with a note, for what is out of range."""
        if not self.has(column):
            return None
        value = clean_number(self.values[column], places=places)
        if value is None or not minimum <= value <= maximum:
            self.note(f"{column} is out of range: left at its default")
            return None
        return value

    def whole(self, column: str, *, maximum: int = 2**31 - 1) -> int | None:
        value = self.number(column, minimum=0, maximum=maximum)
        return None if value is None else int(value)

    def money(self, column: str) -> Decimal | None:
        """USD, which may be negative."""
        return clean_number(self.values.get(column), places=4)

    def flag(self, column: str, default: bool) -> bool:
        return bool(self.values[column]) if self.has(column) else default

    def mode(self, column: str) -> Mode:
        return clean_mode(self.values.get(column))

    def type_and_zone(self, *, prefix: str = "", pool_id: str = "pool_id") -> tuple[str, str]:
        """From the pool's id what has no value of its own."""
        instance_type, az = split_pool_id(self.text(prefix + pool_id, 128))
        return self.text(f"{prefix}instance_type", 64) or instance_type, self.text(f"{prefix}az", 48) or az

    def json(self, column: str) -> dict[str, Any]:
        """A JSON object, without tokens; {} for anything else."""
        text = self.values.get(column)
        if not text:
            return {}
        try:
            value = storable(json.loads(text))
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self.note(f"{column} is no JSON object: left out")
            return {}
        return {key: _without_tokens(item) for key, item in value.items()}


def _without_tokens(value: Any) -> Any:
    if isinstance(value, str):
        return logs.redact(value)
    if isinstance(value, dict):
        return {key: _without_tokens(item) for key, item in value.items()}
    return [_without_tokens(item) for item in value] if isinstance(value, list) else value


def region_of(az: str) -> str:
    """Of a zone with a standard name; "" where the name does not tell."""
    match = _STANDARD_ZONE.fullmatch(az)
    return match[1] if match else ""


def is_instance_type(text: str) -> bool:
    return len(text) <= MAX_ID and _TYPE.fullmatch(text) is not None
