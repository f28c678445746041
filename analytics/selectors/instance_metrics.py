"""The figures of one instance (dashboard-api 2.6); money is the ledger's (5.3)."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Max, Q, Sum

from agents.models import Agent
from analytics.models import UsageLedger
from instances.models import Instance, Switch
from instances.selectors.market import list_price, own_pool, place_of, pools_around, quote_of
from instances.services.usage import hour_of
from spotopt.common import clock

HOUR = timedelta(hours=1)
WEEK, MONTH = timedelta(days=7), timedelta(days=30)


def metrics_of(instance: Instance) -> dict[str, Any]:
    """Totals and prices are never null, as the page crashes on that: 0 beside a `…Known` that says it is unknown."""
    now = clock.now()
    instance_type, region = place_of(instance)
    pools = pools_around(instance, at=now)
    pool = own_pool(instance, pools) or (pools[0] if pools else None)
    spot = quote_of(pool, at=now) if pool else None
    ondemand = list_price(instance_type=instance_type, region=region)
    return {
        "id": instance.instance_id,
        "instanceType": instance.instance_type or None,
        "currentMode": instance.mode,
        "currentPoolId": instance.pool_id or None,
        "uptimeHours": _uptime(instance, now) // HOUR,
        "spotPrice": float(spot or 0),
        "spotPriceKnown": spot is not None,
        "onDemandPrice": float(ondemand or 0),
        "onDemandPriceKnown": ondemand is not None,
        "baselineOnDemandPrice": None if ondemand is None else float(ondemand),
        **_savings(instance, now),
        **_moves(instance, now),
    }


def _uptime(instance: Instance, now: datetime) -> timedelta:
    """From its launch, or its registration where that is not known, to its end."""
    never_ran = instance.launch_requested_at and not instance.launch_confirmed_at
    start = instance.launch_confirmed_at or instance.created_at
    end = instance.terminated_at or now
    return timedelta(0) if never_ran else max(end - start, timedelta(0))


def _savings(instance: Instance, now: datetime) -> dict[str, Any]:
    """One statement over the instance's own rows; the 30 days begin with a full hour."""
    saved = F("baseline_usd") - F("paid_usd")
    sums = UsageLedger.objects.filter(instance=instance).aggregate(
        total=Sum(saved),
        recent=Sum(saved, filter=Q(hour__gte=hour_of(now - MONTH))),
        used=Sum("seconds"),
        priced=Sum("priced_seconds"),
    )
    return {
        "totalSavings": _usd(sums["total"]),
        "savingsLast30Days": _usd(sums["recent"]),
        "priceCoverage": round(float(sums["priced"] / sums["used"]), 4) if sums["used"] else None,
    }


def _moves(instance: Instance, now: datetime) -> dict[str, Any]:
    """Of the workload, whichever instance it ran on: an instance itself is moved to once at most."""
    lineage = _lineage_of(instance.agent) if instance.agent else []
    moves = Switch.objects.filter(agent__in=lineage, success=True, is_anomalous=False).aggregate(
        total=Count("pk"),
        week=Count("pk", filter=Q(created_at__gte=now - WEEK)),
        month=Count("pk", filter=Q(created_at__gte=now - MONTH)),
        last=Max("created_at"),
    )
    last = moves["last"]
    return {
        "totalSwitches": moves["total"],
        "switchesLast7Days": moves["week"],
        "switchesLast30Days": moves["month"],
        "hoursSinceLastSwitch": None if last is None else round((now - last) / HOUR, 2),
    }


def _lineage_of(agent: Agent) -> list[int]:
    """The agent and all that were merged into it, or into the one it was merged into."""
    kept = agent.merged_into_id or agent.pk
    return list(Agent.objects.filter(Q(pk=kept) | Q(merged_into=kept)).values_list("pk", flat=True))


def _usd(amount: Decimal | None) -> float:
    return round(float(amount or 0), 4)
