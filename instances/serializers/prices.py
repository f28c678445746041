"""Price reports in the three shapes that agents send and the documented ones, as one (agent-api 3.10)."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from instances.services.price_news import ListQuote
from instances.services.pricing import PriceReport, SpotQuote
from spotopt.common import clock, wire
from spotopt.common.fields import Mode, pool_id_of, split_pool_id

MAX_ITEMS = 5000  # v5 reports every type of an account; nobody has that many pools
FALLBACK = Decimal("0.1")  # what v2 and v4 send when they could not find out the on-demand price …
FALLBACK_RATIO = 3  # … or so many times the average spot price,
FALLBACK_ROUNDING = Decimal("0.0001")  # rounded
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_ZONE = re.compile(r"[a-z0-9-]+")


class _ListPriceIn(wire.WirePrice):
    """A number, or v2's object around it."""

    def clean(self, value: Any) -> Decimal | None:
        return super().clean(value.get("price") if isinstance(value, Mapping) else value)


class _InstanceIn(wire.WireSerializer):
    instance_id = wire.Identifier()
    instance_type = wire.Text(max_length=64)
    region = wire.Text(max_length=32)
    az = wire.Text(max_length=48)
    mode = wire.WireMode()
    pool_id = wire.Text(max_length=128)
    aliases = {
        "instance_id": ("cloud_instance_id",),
        "az": ("availability_zone",),
        "mode": ("current_mode",),
        "pool_id": ("current_pool_id", "current_pool"),
    }


class _ItemIn(wire.WireSerializer):
    pool_id = wire.Text(max_length=128)
    instance_type = wire.Text(max_length=64)
    az = wire.Text(max_length=48)
    price = wire.WirePrice()
    price_type = wire.WireMode()
    timestamp = wire.WireTime()
    aliases = {"az": ("availability_zone",), "price": ("spot_price", "current_price")}


class _PricesIn(wire.WireSerializer):
    on_demand_price = _ListPriceIn()
    current_spot_price = wire.WirePrice()
    collected_at = wire.WireTime()
    aliases = {"on_demand_price": ("ondemand_price",), "collected_at": ("timestamp",)}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Agent v4",
            value={
                "instance": {"instance_id": "i-0123456789abcdef0", "instance_type": "t3.medium", "region": "us-east-1"},
                "pricing": {"on_demand_price": 0.0416, "current_spot_price": 0.0125},
                "spot_pools": [{"pool_id": "t3.medium.us-east-1a", "price": 0.0125}],
            },
        )
    ]
)
class PricingReportIn(wire.WireSerializer):
    """For the documentation; what is really read stands above and below."""

    instance = _InstanceIn()
    pricing = _PricesIn()
    spot_pools = wire.WireList(child=_ItemIn())
    aliases = {"spot_pools": ("pricing_data_array", "spot_prices", "pools")}


def parse_pricing_report(data: Any) -> PriceReport:
    """Whatever can be used; a bad item is left out, never the report refused."""
    data = data if isinstance(data, Mapping) else {}
    block = data.get("pricing")
    data = {**data, **block} if isinstance(block, Mapping) else data
    now = clock.now()
    own = _InstanceIn().parse(data["instance"] if isinstance(data.get("instance"), Mapping) else data)
    prices = _PricesIn().parse(data)
    collected_at = _believable(prices["collected_at"], now)
    items = [_ItemIn().parse(item) for item in _items(data)]
    priced = [item for item in items if item["price"]]
    spot = [_spot_quote(item, collected_at, now) for item in priced if item["price_type"] != Mode.ONDEMAND]
    quotes = [quote for quote in spot if quote]
    quotes += _own_quote(own, prices["current_spot_price"], quotes, collected_at)
    of_own_pool = next((quote.price for quote in reversed(quotes) if quote.pool_id == own["pool_id"]), None)
    listed = [ListQuote(i["instance_type"], i["price"]) for i in priced if i["price_type"] == Mode.ONDEMAND]
    if price := prices["on_demand_price"]:
        listed.append(ListQuote(own["instance_type"], price, is_estimate=_is_estimate(price, own, quotes)))
    return PriceReport(
        instance_id=own["instance_id"],
        instance_type=own["instance_type"],
        region=own["region"],
        az=own["az"],
        mode=own["mode"],
        spot_price=prices["current_spot_price"] or of_own_pool,
        spot=tuple(quotes),
        listed=tuple(quote for quote in listed if quote.instance_type == "" or _TYPE.fullmatch(quote.instance_type)),
        collected_at=collected_at,
    )


def _believable(at: datetime | None, now: datetime) -> datetime:
    """Reports are not about the future: a clock that runs ahead counts as the time of receipt.

    One that is behind is believed (agent-api 1.6), as it may be a late report. Should the clock be wrong, its prices
    look old and are not acted upon, which is the harmless way to be wrong.
    """
    return min(wire.clamp_time(at, received_at=now), now)


def _items(data: Mapping[str, Any]) -> Iterable[Any]:
    """v2 and v4 `spot_pools`, v5 `pricing_data_array`, documents `spot_prices` or `pools`."""
    lists = (data.get(name) for name in ("spot_pools", "pricing_data_array", "spot_prices", "pools"))
    return [item for found in lists if isinstance(found, list) for item in found[:MAX_ITEMS]]


def _spot_quote(item: dict[str, Any], collected_at: datetime, now: datetime) -> SpotQuote | None:
    """None where it is not clear which pool is meant. An item's own time is when AWS set that price."""
    instance_type, az = split_pool_id(item["pool_id"]) if item["pool_id"] else (item["instance_type"], item["az"])
    if item["instance_type"] not in ("", instance_type) or item["az"] not in ("", az):
        return None
    if not (_TYPE.fullmatch(instance_type) and _ZONE.fullmatch(az)) or len(instance_type) > 64 or len(az) > 48:
        return None
    at = _believable(item["timestamp"], now) if item["timestamp"] else collected_at
    return SpotQuote(pool_id_of(instance_type, az), instance_type, az, item["price"], at)


def _own_quote(own: dict[str, Any], price: Decimal | None, quotes: list[SpotQuote], at: datetime) -> list[SpotQuote]:
    """The price of the instance's own pool, where the list does not have it."""
    if not price or own["mode"] == Mode.ONDEMAND:
        return []
    item = {name: own[name] for name in ("pool_id", "instance_type", "az")}
    quote = _spot_quote(item | {"price": price, "timestamp": None}, at, at)
    return [quote] if quote and all(q.pool_id != quote.pool_id for q in quotes) else []


def _is_estimate(price: Decimal, own: dict[str, Any], quotes: list[SpotQuote]) -> bool:
    seen = [quote.price for quote in quotes if quote.instance_type == own["instance_type"]]
    estimate = FALLBACK_RATIO * sum(seen, Decimal(0)) / len(seen) if seen else Decimal(0)
    return price == FALLBACK or abs(price - estimate) <= FALLBACK_ROUNDING
