"""Spot and on-demand prices as agents report them: stored once per change, however many report (design 2.8).

    report = parse_pricing_report(request.data)  # instances.serializers.prices
    recorded = record_report(agent=agent, caller_instance_id=caller.instance_id, report=report)
    {"success": True, "report_id": recorded.report_id, "records_inserted": recorded.records_inserted}

Prices are facts of the market and shared by all clients. A report in which nothing is new costs a SELECT of the
pools, an UPDATE of when they were last confirmed, and the report's own row; it locks nothing for longer.
"""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from agents.models import Agent, PricingReport
from instances.models import OnDemandPrice, Pool
from instances.services import price_news
from instances.services.heartbeats import learn_about_primary
from instances.services.price_news import ListQuote, Sighting
from spotopt.common import clock
from spotopt.common.db import retried, upsert

CONFIRM_EVERY = timedelta(seconds=60)  # all agents of a pool say the same: once a minute is news enough
SLOT_SECONDS = 150  # half of the agents' interval, so that a report falls into another slot than the one before
_STANDARD_ZONE = re.compile(r"([a-z]{2}(?:-gov)?-[a-z]+-\d)[a-z]")


@dataclass(frozen=True)
class SpotQuote:
    """`price` USD per hour, in effect since `at`."""

    pool_id: str
    instance_type: str
    az: str
    price: Decimal
    at: datetime


@dataclass(frozen=True)
class PriceReport:
    """What one report says; empty text and None are unknown. `collected_at` is clamped and never in the future."""

    collected_at: datetime
    instance_id: str = ""
    instance_type: str = ""
    region: str = ""
    az: str = ""
    mode: str = "unknown"
    spot_price: Decimal | None = None  # of the instance's own pool
    spot: tuple[SpotQuote, ...] = ()
    listed: tuple[ListQuote, ...] = ()


@dataclass(frozen=True)
class Recorded:
    report_id: str
    records_inserted: int  # rows of price history


def record_report(*, agent: Agent, caller_instance_id: str, report: PriceReport) -> Recorded:
    """Store what is new. Only the primary's own report is kept as the agent's; anybody's prices are."""
    region = report.region or agent.region or _region_of(report)
    listed = {quote.instance_type or agent.instance_type: quote for quote in report.listed}
    seen = _sightings(report)
    pools = {p.pool_id: p for p in Pool.objects.select_related("ondemand").filter(pool_id__in=seen)}
    known = _known_lists(listed, region, pools.values())
    linked = {(t, region) for t in (*listed, *known) if region}
    spot_news = {pool_id: s for pool_id, s in seen.items() if _is_news(pools.get(pool_id), s, linked)}
    list_news = {t: q for t, q in listed.items() if price_news.is_news_of_list(known.get(t), q, report.collected_at)}
    inserted = 0
    if spot_news or (list_news and region):
        inserted = price_news.record(region=region, spot=spot_news, listed=list_news, at=report.collected_at)
    _confirm(report, [pool for pool_id, pool in pools.items() if pool_id not in spot_news])
    if caller_instance_id and caller_instance_id == agent.instance_id:
        _keep(agent, report)
        if report.instance_id == agent.instance_id:  # v2 says nowhere else how its instance is bought
            learn_about_primary(agent=agent, az=report.az, instance_type=report.instance_type, mode=report.mode)
    slot_start = int(clock.now().timestamp()) // SLOT_SECONDS * SLOT_SECONDS
    return Recorded(f"{agent.public_id}-{slot_start}", inserted)


def _sightings(report: PriceReport) -> dict[str, list[Sighting]]:
    """By pool, oldest first. The newest is what the agent sees now, whenever AWS set it; the others are past."""
    found: dict[str, list[Sighting]] = {}
    for quote in sorted(report.spot, key=lambda q: q.at):
        earlier = found.setdefault(quote.pool_id, [])
        earlier[:] = [Sighting(s.price, s.at, s.at) for s in earlier]
        earlier.append(Sighting(quote.price, quote.at, max(quote.at, report.collected_at)))
    return found


def _known_lists(reported: Iterable[str], region: str, pools: Iterable[Pool]) -> dict[str, OnDemandPrice]:
    """The stored list prices of these types; those of the pools came with them."""
    known = {p.instance_type: p.ondemand for p in pools if p.ondemand and p.ondemand.region == region}
    missing = set(reported) - set(known)
    if missing and region:
        found = OnDemandPrice.objects.filter(instance_type__in=missing, region=region)
        known |= {quote.instance_type: quote for quote in found}
    return known


def _is_news(pool: Pool | None, seen: list[Sighting], listed: Container[tuple[str, str]]) -> bool:
    if pool is None or (pool.ondemand_id is None and (pool.instance_type, pool.region) in listed):
        return True
    return any(price_news.is_news(pool, sighting) for sighting in seen)


@retried
def _confirm(report: PriceReport, pools: Iterable[Pool]) -> None:
    """One statement, along the primary key, so that two reports cannot lock each other out."""
    at = report.collected_at
    due = [p.pk for p in pools if p.last_confirmed_at and at - p.last_confirmed_at >= CONFIRM_EVERY]
    if due:
        Pool.objects.filter(pk__in=sorted(due), last_confirmed_at__lt=at).update(last_confirmed_at=at)


@retried
def _keep(agent: Agent, report: PriceReport) -> None:
    """In the agent's ring of the last few reports (dashboard-api 2.5)."""
    now = clock.now()
    in_list = {quote.pool_id: quote.price for quote in report.spot}
    listed = {quote.instance_type or agent.instance_type: quote.price for quote in report.listed}
    fields = {
        "received_at": now,
        "instance_id": agent.instance_id,
        "ondemand_price": listed.get(agent.instance_type),
        "spot_price": report.spot_price or in_list.get(agent.current_pool_id),
        "pools": len(in_list),
    }
    slot = int(now.timestamp()) // SLOT_SECONDS % PricingReport.SLOTS
    upsert(PricingReport, [PricingReport(agent=agent, slot=slot, **fields)], key=["agent", "slot"], update=list(fields))


def _region_of(report: PriceReport) -> str:
    """The region of a zone with a standard name; local zones do not tell theirs (agent-api 1.7)."""
    zones = [report.az, *(quote.az for quote in report.spot)]
    return next((match[1] for zone in zones if (match := _STANDARD_ZONE.fullmatch(zone))), "")
