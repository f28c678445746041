"""The overview: which part of the fleet is asked for, and everything its template prints."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import Http404, QueryDict

from analytics.selectors.savings import Totals
from clients.models import Client
from spotopt.common import clock
from spotopt.dashboard import charts, selectors
from spotopt.dashboard.charts import Chart, usd
from spotopt.dashboard.savings import savings

MOST_CLIENTS = 500  # in the filter
PERIODS = {"daily": "30 days", "monthly": "12 months"}
WINDOWS = {"24h": timedelta(hours=24), "7d": timedelta(days=7)}


def context_of(query: QueryDict) -> dict[str, Any]:
    """`client` (an id), `savings` (PERIODS), `market` (type@region), `prices` (WINDOWS). Odd values count as absent.

    An unknown client does not: the page would show the whole fleet in its place.
    """
    now = clock.now()
    client = _client(query.get("client", ""))
    by, window = _one_of(PERIODS, query.get("savings")), _one_of(WINDOWS, query.get("prices"))
    saved = savings(client=client, by=by, at=now)
    places = selectors.markets()
    place = _place(query.get("market", ""), places, client)
    return {
        "now": now,
        "client": client,
        "clients": list(Client.objects.order_by("name", "pk")[:MOST_CLIENTS]),
        "client_count": Client.objects.count(),
        "fleet": selectors.fleet(client=client, at=now),
        "lifetime": _figures(saved.lifetime),
        "this_month": _figures(saved.this_month),
        "periods": [(period.label, _figures(period.totals)) for period in reversed(saved.periods)],
        "costs": charts.cost_bars(saved.periods),
        "by": by,
        "by_choices": PERIODS,
        "places": places,
        "place": place,
        "prices": _prices(place, since=now - WINDOWS[window], until=now) if place else None,
        "window": window,
        "window_choices": list(WINDOWS),
        "interruptions": selectors.open_interruptions(client=client),
        "agents": selectors.unwell_agents(client=client),
        "switches": selectors.recent_switches(client=client),
        "events": selectors.recent_events(client=client),
    }


@dataclass(frozen=True)
class Prices:
    market: selectors.Market
    chart: Chart | None  # None: no price is known in the window


def _prices(place: tuple[str, str], *, since: datetime, until: datetime) -> Prices:
    market = selectors.market(instance_type=place[0], region=place[1], since=since, until=until)
    lines = {quote.pool.az: quote.steps for quote in market.quotes}
    return Prices(market, charts.price_lines(lines, since=since, until=until))


def _figures(totals: Totals) -> dict[str, Any]:
    baseline, saved = totals.baseline_usd, totals.savings_usd
    return {
        "baseline": usd(baseline),
        "paid": usd(totals.paid_usd),
        "saved": usd(saved),
        "is_loss": saved is not None and saved < 0,
        "percent": float(saved / baseline * 100) if baseline and saved is not None else None,
        "coverage": float(totals.priced_seconds / totals.seconds * 100) if totals.seconds else None,
    }


def _client(public_id: str) -> Client | None:
    if public_id in ("", "all"):
        return None
    client = Client.objects.filter(public_id=public_id).first()
    if client is None:
        raise Http404("No such client")
    return client


def _one_of(choices: Iterable[str], given: str | None) -> str:
    """The first one unless another is asked for."""
    return next((choice for choice in choices if choice == given), next(iter(choices)))


def _place(given: str, places: list[tuple[str, str]], client: Client | None) -> tuple[str, str] | None:
    """The one asked for, else where most instances run, else any that has pools."""
    instance_type, _, region = given.partition("@")
    wanted = ((instance_type, region), selectors.busiest_market(client=client), *places[:1])
    return next((place for place in wanted if place in places), None)
