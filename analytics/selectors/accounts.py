"""Clients and the whole fleet in figures (dashboard-api 2.2, 2.4). The number of statements never grows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Sum

from agents.models import Agent
from analytics.models import ClientDay, SwitchTally
from analytics.services.switch_tallies import TRIGGERS
from clients.models import Client
from decisions.selectors import engine_status
from instances.models import Instance, Pool
from spotopt.common import clock

_SAVINGS = Sum(F("baseline_usd") - F("paid_usd"))
_PLACES = Decimal("0.000000001")  # the ledger's


@dataclass
class Fleet:
    """What a client has; deleted agents count for `last_heartbeat_at` alone."""

    agents: int = 0
    online: int = 0
    offline: int = 0
    enabled: int = 0
    last_heartbeat_at: datetime | None = None
    active_instances: int = 0


def platform_stats() -> dict[str, Any]:
    """The body of GET /api/admin/stats."""
    by_status = dict(Agent.objects.living().order_by().values_list("status").annotate(number=Count("pk")))
    switches = SwitchTally.objects.aggregate(**{trigger: Sum(trigger, default=0) for trigger in TRIGGERS})
    status = engine_status()
    is_loaded = status["decisionEngineStatus"]["loaded"]
    return {
        "totalAccounts": Client.objects.count(),
        "agentsOnline": by_status.get(Agent.Status.ONLINE, 0),
        "agentsTotal": sum(by_status.values()),
        "poolsCovered": Pool.objects.filter(is_active=True).count(),
        "totalSavings": float(_usd(ClientDay.objects.aggregate(usd=_SAVINGS)["usd"])),
        "totalSwitches": sum(switches.values()),
        "manualSwitches": switches["manual"],
        "modelSwitches": switches["automatic"],
        "backendHealth": "Healthy" if is_loaded else "Decision Engine Not Loaded",
        "decisionEngineLoaded": is_loaded,
        "mlModelsLoaded": status["modelStatus"]["loaded"],
    }


def client_rows() -> list[dict[str, Any]]:
    """Of all clients, newest first."""
    clients = list(Client.objects.order_by("-created_at", "-pk"))
    savings, fleets = lifetime_savings(), fleets_of()
    return [_row(client, fleets[client.pk], savings[client.pk]) for client in clients]


def client_details(*, client: Client) -> dict[str, Any]:
    fleet = fleets_of(client=client)[client.pk]
    gone = Instance.objects.filter(client=client, status__in=Instance.GONE).count()
    row = _row(client, fleet, lifetime_savings(client=client)[client.pk])
    return row | {"agentsOffline": fleet.offline, "instancesTerminated": gone}


def lifetime_savings(*, client: Client | None = None) -> defaultdict[int, Decimal]:
    """USD by client, 0 for those without."""
    days = _of(ClientDay.objects.all(), client).values_list("client_id").order_by()
    found: defaultdict[int, Decimal] = defaultdict(Decimal)
    found.update({pk: _usd(usd) for pk, usd in days.annotate(usd=_SAVINGS)})
    return found


def fleets_of(*, client: Client | None = None) -> defaultdict[int, Fleet]:
    """By client. Two statements."""
    found: defaultdict[int, Fleet] = defaultdict(Fleet)
    agents = _of(Agent.objects.all(), client).values_list("client_id", "status").order_by()
    numbers = {"number": Count("pk"), "enabled": Count("pk", filter=Q(enabled=True)), "seen": Max("last_heartbeat_at")}
    for pk, status, number, enabled, seen in agents.annotate(**numbers):
        fleet = found[pk]
        fleet.last_heartbeat_at = max((at for at in (fleet.last_heartbeat_at, seen) if at), default=None)
        if status != Agent.Status.DELETED:
            fleet.agents += number
            fleet.enabled += enabled
        if status == Agent.Status.ONLINE:
            fleet.online += number
        if status == Agent.Status.OFFLINE:
            fleet.offline += number
    active = _of(Instance.objects.active(), client).values_list("client_id").order_by()
    for pk, number in active.annotate(number=Count("pk")):
        found[pk].active_instances = number
    return found


def export_rows() -> Iterable[list[Any]]:
    """Of global_stats.csv (dashboard-api 2.10): active clients, highest savings first."""
    savings, fleets = lifetime_savings(), fleets_of()
    clients = list(Client.objects.filter(is_active=True).order_by("pk"))
    for client in sorted(clients, key=lambda c: -savings[c.pk]):
        yield [
            client.public_id,
            client.name,
            client.email or "",
            savings[client.pk].quantize(Decimal("0.01")) + 0,  # no −0.00
            fleets[client.pk].active_instances,
            fleets[client.pk].enabled,
            clock.isoformat(client.created_at),
        ]


def _row(client: Client, fleet: Fleet, savings: Decimal) -> dict[str, Any]:
    return {
        "id": client.public_id,
        "name": client.name,
        "status": client.status,
        "instances": fleet.active_instances,
        "agentsOnline": fleet.online,
        "agentsTotal": fleet.agents,
        "totalSavings": float(savings),
        "lastSync": clock.isoformat(fleet.last_heartbeat_at),
        "email": client.email,
        "createdAt": clock.isoformat(client.created_at),
    }


def _of(rows: QuerySet[Any], client: Client | None) -> QuerySet[Any]:
    return rows.filter(client=client) if client else rows


def _usd(total: Decimal | None) -> Decimal:
    """SQLite adds up in binary: rounded to the ledger's places, the sum is the decimal one."""
    return (total or Decimal(0)).quantize(_PLACES)
