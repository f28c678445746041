"""The switches of a client, newest first: in the order they were recorded, for agents' clocks order nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, QuerySet
from django.db.models.functions import TruncDate

from agents.models import Agent
from clients.models import Client
from instances.models import Instance, Switch
from instances.selectors.listing import price_paid
from spotopt.common import clock

NO_POOL = "n/a"  # dashboard-api 1.9
FREQUENCY_DAYS = 30
WINDOW = timedelta(days=1)
_ORDER = ("-created_at", "-id")  # along the index by client
_PRICE = Decimal("0.000001")
_EXPORTED = (
    *("created_at", "instance_launched_at", "ami_created_at", "initiated_at", "trigger"),
    *("old_instance_id", "new_instance_id", "old_mode", "new_mode", "old_pool_id", "new_pool_id"),
    *("new_spot_price", "ondemand_price", "savings_impact"),
)


def switch_rows(*, client: Client, instance_id: str, limit: int, offset: int) -> list[dict[str, Any]]:
    """Dashboard-api 2.4; with an `instance_id` only its own, old or new."""
    switches = _switches(client)
    if instance_id:
        switches = switches.filter(pk__in=_switches_of(client, instance_id))
    page = list(switches[offset : offset + limit])
    # A join would make the database start from the agents and sort all switches
    agents = Agent.objects.filter(pk__in={switch.agent_id for switch in page})
    ids = dict(agents.values_list("pk", "public_id"))
    return [_row(switch, ids[switch.agent_id]) for switch in page if switch.agent_id in ids]


def switch_frequency(*, client: Client) -> list[dict[str, Any]]:
    """A row per day, today last."""
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=number) for number in reversed(range(FREQUENCY_DAYS))]
    recent = Switch.objects.filter(client=client, created_at__gte=days[0]).order_by()
    counts = dict(recent.values_list(TruncDate("created_at")).annotate(number=Count("pk")))
    return [{"date": f"{day:%Y-%m-%d}", "switches": counts.get(day.date(), 0)} for day in days]


def mode_distribution(*, client: Client) -> list[dict[str, Any]]:
    """Active instances by mode. The pie's legend prints `name` (dashboard-api 6.3)."""
    active = Instance.objects.active().filter(client=client).values_list("mode").order_by("mode")
    return [{"mode": mode, "name": mode, "count": number} for mode, number in active.annotate(number=Count("pk"))]


def export_rows(*, client: Client) -> Iterator[list[Any]]:
    """Of client_…_switch_history.csv (dashboard-api 2.10); an unknown number is an empty cell."""
    for switch in _all_switches(client):
        yield [
            clock.isoformat(moved_at(switch)),
            switch.old_instance_id or "N/A",
            switch.new_instance_id or "N/A",
            switch.old_mode,
            switch.new_mode,
            switch.old_pool_id or "N/A",
            switch.new_pool_id or "N/A",
            switch.trigger,
            _six_places(_price_after(switch)),
            _six_places(switch.savings_impact),
        ]


def moved_at(switch: Switch) -> datetime:
    """The moment that pages show: launch of the new instance, else its image, else the beginning, else its record."""
    reported = switch.instance_launched_at or switch.ami_created_at or switch.initiated_at
    return reported or switch.created_at


def _switches(client: Client) -> QuerySet[Switch]:
    return Switch.objects.filter(client=client).defer("snapshot", "error_message").order_by(*_ORDER)


def _switches_of(client: Client, instance_id: str) -> list[int]:
    """An index for each end; an instance moves once or twice in its life."""
    own = Switch.objects.filter(client=client).order_by()
    old, new = own.filter(old_instance_id=instance_id), own.filter(new_instance_id=instance_id)
    return [*old.values_list("pk", flat=True), *new.values_list("pk", flat=True)]


def _all_switches(client: Client) -> Iterator[Switch]:
    """A window of time each: on MySQL an iterator would load them all at once, and a page that begins far back is
    found by walking there.
    """
    own = Switch.objects.filter(client=client)
    newest = own.aggregate(at=Max("created_at"))["at"]
    while newest:
        start = newest - WINDOW
        yield from own.filter(created_at__gt=start, created_at__lte=newest).only(*_EXPORTED).order_by(*_ORDER)
        newest = own.filter(created_at__lte=start).aggregate(at=Max("created_at"))["at"]


def _row(switch: Switch, agent_id: str) -> dict[str, Any]:
    impact = switch.savings_impact
    return {
        "id": switch.public_id,
        "timestamp": clock.isoformat(moved_at(switch)),
        "instanceId": switch.new_instance_id or switch.old_instance_id,
        "oldInstanceId": switch.old_instance_id or None,
        "newInstanceId": switch.new_instance_id or None,
        "fromMode": switch.old_mode,
        "toMode": switch.new_mode,
        "fromPool": switch.old_pool_id or NO_POOL,
        "toPool": switch.new_pool_id or NO_POOL,
        "trigger": switch.trigger,
        # null would blank the page (dashboard-api 4.3)
        "price": float(_price_after(switch) or 0),
        "savingsImpact": float(impact or 0),
        "savingsImpactKnown": impact is not None,
        "agentId": agent_id,
        "downtimeSeconds": switch.downtime_seconds,
        "success": switch.success,
        "initiatedAt": clock.isoformat(switch.initiated_at),
    }


def _price_after(switch: Switch) -> Decimal | None:
    return price_paid(mode=switch.new_mode, quote=switch.new_spot_price, ondemand=switch.ondemand_price)


def _six_places(value: Decimal | None) -> Decimal | str:
    return "" if value is None else value.quantize(_PRICE)
