"""Request fields for deployed agents: whatever arrives becomes a usable value or "not known", never a 400.

Agents cannot be changed, send nulls and placeholders where they know nothing, and drop the body of every
refusal (agent-api 1.2 rules 5 and 10). So these fields do not validate, they normalise: a missing, null or
nonsensical value turns into the field's empty value ("", None, [], {}), and every field is always present in
the result. What must not be empty is for the service to say.

    class HeartbeatIn(WireSerializer):
        aliases = {"mode": ("current_mode",), "az": ("availability_zone",)}
        instance_id = Identifier()
        mode = WireMode()
        monitored_instances = WireList(child=Identifier())

    body = HeartbeatIn().parse(request.data)  # dict with exactly these keys
"""

import ipaddress
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.fields import empty

from spotopt.common.fields import Mode

# What agents write where they know nothing: v2 and v4 the word unknown, Python programs a printed None.
PLACEHOLDERS = frozenset({"", "unknown", "none", "null"})
MAX_FUTURE = timedelta(minutes=5)
MAX_AGE = timedelta(days=7)
MAX_PRICE = Decimal(10_000)  # USD per hour; the dearest instance types are near 400
MAX_JSON_DEPTH = 16  # MariaDB refuses to store JSON nested deeper than 32
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class _Lenient(serializers.Field):
    """Hands every value, also a missing one (as None), to `clean`, and never raises."""

    def __init__(self, **kwargs: Any) -> None:
        if "default" not in kwargs:
            kwargs.setdefault("required", False)
        super().__init__(**kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        return self.clean(None if data is empty else data)

    def clean(self, value: Any) -> Any:
        raise NotImplementedError


class Text(_Lenient, serializers.CharField):
    """Free text → str: stripped, storable on every database, cut to `max_length`; "" for a placeholder."""

    def clean(self, value: Any) -> str:
        return clean_text(value, max_length=self.max_length)


class Identifier(Text):
    """An id → str. Numbers become text; objects, lists and booleans are no ids."""

    def clean(self, value: Any) -> str:
        is_id = isinstance(value, str | int) and not isinstance(value, bool)
        return super().clean(value if is_id else None)

    def __init__(self, *, max_length: int = 64, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, **kwargs)


class IPAddress(_Lenient, serializers.CharField):
    """An IPv4 or IPv6 address → its usual spelling, "" for anything else (v4 sends the word `unknown`)."""

    def clean(self, value: Any) -> str:
        try:
            return str(ipaddress.ip_address(clean_text(value, max_length=45)))
        except ValueError:
            return ""


class WireMode(_Lenient, serializers.CharField):
    """`spot`, `ondemand` (also on-demand, on_demand, OD), else `unknown`."""

    def clean(self, value: Any) -> Mode:
        return clean_mode(value)


class WireTime(_Lenient, serializers.DateTimeField):
    """Any time format of agent-api 1.6 → aware UTC, else None. Not clamped: see `clamp_time`."""

    def clean(self, value: Any) -> datetime | None:
        return clean_time(value)


class WireNumber(_Lenient, serializers.FloatField):
    """JSON number or numeric text → Decimal with `places` decimals, None outside [minimum, maximum]."""

    def __init__(
        self, *, minimum: float | None = None, maximum: float | None = None, places: int = 6, **kwargs: Any
    ) -> None:
        self.minimum, self.maximum, self.places = minimum, maximum, places
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Decimal | None:
        number = clean_number(value, places=self.places)
        if number is None or (self.minimum is not None and number < self.minimum):
            return None
        return None if self.maximum is not None and number > self.maximum else number


class WirePrice(_Lenient, serializers.FloatField):
    """USD per hour → Decimal with 6 decimals, None for what cannot be a price: ≤ 0, above MAX_PRICE."""

    def clean(self, value: Any) -> Decimal | None:
        return clean_price(value)


class WireInteger(_Lenient, serializers.IntegerField):
    """A whole number (fractions are cut off) → int, None outside [minimum, maximum]; fits a column."""

    def __init__(self, *, minimum: int = 0, maximum: int = 2**31 - 1, **kwargs: Any) -> None:
        self.minimum, self.maximum = minimum, maximum
        super().__init__(**kwargs)

    def clean(self, value: Any) -> int | None:
        number = clean_number(value)
        return None if number is None or not self.minimum <= number <= self.maximum else int(number)


class WireBool(_Lenient, serializers.BooleanField):
    """true, false, 1, 0 or their words → bool; anything else → `default` (None unless given)."""

    def clean(self, value: Any) -> bool | None:
        word = str(value).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        return None if self.default is empty else self.default


class WireList(_Lenient, serializers.ListField):
    """A JSON array, each item through `child`; items that come out empty are dropped. Other types → []."""

    def clean(self, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            return []
        cleaned = (self.child.run_validation(item) for item in value)
        return [item for item in cleaned if item not in (None, "", {}, [])]


class WireObject(_Lenient, serializers.JSONField):
    """A JSON object as it came, made storable on every database. Other types → {}."""

    def clean(self, value: Any) -> dict[str, Any]:
        return storable(value) if isinstance(value, Mapping) else {}


class WireSerializer(serializers.Serializer):
    """Takes any JSON value. `aliases` = {field: (other names,)}, used where the field brings nothing.

    `needed` = {field: the words it may be, () for any}: documents what the service behind it refuses to do without.
    """

    aliases: ClassVar[dict[str, tuple[str, ...]]] = {}
    needed: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "default" not in kwargs:
            kwargs.setdefault("required", False)
        super().__init__(*args, **kwargs)

    def parse(self, data: Any) -> dict[str, Any]:
        """The cleaned body: every field of the serializer, and nothing else."""
        parsed: dict[str, Any] = _shared(type(self)).run_validation(data)
        return parsed

    def run_validation(self, data: Any = empty) -> Any:
        given = data if isinstance(data, Mapping) else {}
        return {name: field.run_validation(self._value(given, name)) for name, field in self.fields.items()}

    def _value(self, given: Mapping[str, Any], name: str) -> Any:
        names = (name, *self.aliases.get(name, ()))
        return next((given[n] for n in names if not _says_nothing(given.get(n))), None)


@cache
def _shared(cls: type[WireSerializer]) -> WireSerializer:
    """One instance per class: lenient fields keep no state, and copying them costs more than parsing."""
    return cls()


def clean_text(value: Any, *, max_length: int | None = None) -> str:
    if value is None:
        return ""
    text = (value if isinstance(value, str) else str(value)).replace("\0", "")
    # JSON may carry half a surrogate pair, which no database driver can encode.
    text = text.encode("utf-8", "ignore").decode().strip()
    return "" if text.lower() in PLACEHOLDERS else text[:max_length].rstrip()


def clean_mode(value: Any) -> Mode:
    word = str(value).strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    if word in ("ondemand", "od"):
        return Mode.ONDEMAND
    return Mode.SPOT if word == "spot" else Mode.UNKNOWN


def clean_number(value: Any, *, places: int = 6) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value).strip()).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    except (InvalidOperation, ValueError):  # no number, infinite, or more digits than any column holds
        return None
    return None if number.is_nan() else number


def clean_price(value: Any) -> Decimal | None:
    number = clean_number(value)
    return number if number is not None and 0 < number <= MAX_PRICE else None


def clean_time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return _from_epoch(float(value))
    except (ValueError, OverflowError, OSError):
        pass
    try:
        at = datetime.fromisoformat(str(value).strip().replace("+00:00Z", "Z"))  # isoformat() + "Z"
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def clamp_time(value: datetime | None, *, received_at: datetime) -> datetime:
    """An agent's time where it is believable, else the time of receipt (agent-api 1.6)."""
    if value is None or not received_at - MAX_AGE <= value <= received_at + MAX_FUTURE:
        return received_at
    return value


def storable(value: Any, *, depth: int = 0) -> Any:
    """JSON data without what MySQL or MariaDB refuse: NUL, half surrogates, NaN, deep nesting (→ None)."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "ignore").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth >= MAX_JSON_DEPTH:
        return None
    keep: Callable[[Any], Any] = lambda item: storable(item, depth=depth + 1)  # noqa: E731
    if isinstance(value, Mapping):
        return {keep(str(key)): keep(item) for key, item in value.items()}
    return [keep(item) for item in value]


def _says_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in PLACEHOLDERS)


def _from_epoch(seconds: float) -> datetime:
    """Seconds since 1970; milliseconds are told by their size (the year 5138 in seconds)."""
    return datetime.fromtimestamp(seconds / 1000 if abs(seconds) > 1e11 else seconds, UTC)
