"""What was decided for each agent, and what it was decided on: the dashboard's Models tab (dashboard-api 2.5)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from django.db.models import Case, IntegerField, OuterRef, QuerySet, Subquery, Value, When

from agents.models import Agent, PricingReport
from clients.models import Client
from decisions.models import DecisionRecord
from instances.selectors.fleet import NO_POOL, heartbeat_health
from notifications.models import SystemEvent
from spotopt.common import clock

SHOWN = 5  # of everything
REPORT_WINDOW = timedelta(minutes=10)  # two intervals of the agents' reports, which come every five minutes
RECENT_EVENTS = 200  # of the client, however many agents it has


class Report(NamedTuple):
    received_at: datetime
    ondemand_price: Decimal | None
    spot_price: Decimal | None


class Decided(NamedTuple):
    decision_type: str
    action: str
    risk_score: Decimal | None
    expected_savings: Decimal | None
    current_mode: str
    created_at: datetime


def decision_rows(*, client: Client) -> list[dict[str, Any]]:
    """A row for each living agent, online ones first, then by logical id. Four statements, however many agents."""
    now = clock.now()
    agents = list(_agents(client))
    decisions, reports, events = _decisions(agents), _reports(client), _events(client)
    return [_row(agent, decisions[agent.pk], reports[agent.pk], events[agent.public_id], now) for agent in agents]


def _agents(client: Client) -> QuerySet[Agent]:
    """With the ids of their last decisions: one step in an index each, however long the history."""
    newest = DecisionRecord.objects.filter(agent=OuterRef("pk")).order_by("-id").values("pk")
    last_ids = {f"decision_{n}": Subquery(newest[n : n + 1]) for n in range(SHOWN)}
    is_online = Case(When(status=Agent.Status.ONLINE, then=0), default=Value(1), output_field=IntegerField())
    return (
        Agent.objects.living().filter(client=client).annotate(**last_ids).order_by(is_online, "logical_agent_id", "id")
    )


def _decisions(agents: Iterable[Agent]) -> Mapping[int, list[Decided]]:
    """Newest first."""
    pks = [pk for agent in agents for n in range(SHOWN) if (pk := getattr(agent, f"decision_{n}"))]
    found: dict[int, list[Decided]] = defaultdict(list)
    records = DecisionRecord.objects.filter(pk__in=pks).order_by("-id")
    for agent_pk, *fields in records.values_list("agent_id", *Decided._fields):
        found[agent_pk].append(Decided(*fields))
    return found


def _reports(client: Client) -> Mapping[int, list[Report]]:
    """Newest first; the table keeps a few of each agent."""
    found: dict[int, list[Report]] = defaultdict(list)
    of_living = PricingReport.objects.filter(agent__client=client).exclude(agent__status=Agent.Status.DELETED)
    for agent_pk, *fields in of_living.order_by("-received_at").values_list("agent_id", *Report._fields):
        found[agent_pk].append(Report(*fields))
    return found


def _events(client: Client) -> Mapping[str, list[dict[str, Any]]]:
    """Of the client's latest: an agent that is quiet for long has none here."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in SystemEvent.objects.filter(client=client).defer("metadata").order_by("-id")[:RECENT_EVENTS]:
        if len(found[event.agent_id]) < SHOWN:
            found[event.agent_id].append(
                {
                    "type": event.event_type,
                    "severity": event.severity,
                    "message": event.message,
                    "time": clock.isoformat(event.created_at),
                }
            )
    return found


def _row(
    agent: Agent,
    decisions: list[Decided],
    reports: list[Report],
    events: list[dict[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    count = sum(now - report.received_at <= REPORT_WINDOW for report in reports)
    is_healthy = agent.status == Agent.Status.ONLINE and bool(reports) and now - reports[0].received_at < REPORT_WINDOW
    health = "healthy" if is_healthy else "unhealthy"
    shown = [_report(report) for report in islice(filter(_is_complete, reports), SHOWN)]
    return {
        "agentId": agent.public_id,
        "agentName": agent.logical_agent_id or agent.hostname or agent.public_id,
        "status": agent.status,
        "currentMode": agent.current_mode,
        "currentPoolId": agent.current_pool_id or NO_POOL,
        "isHealthy": is_healthy,
        "lastHeartbeat": _ago(agent.last_heartbeat_at, now),
        "lastDecision": _last_decision(decisions[0] if decisions else None, now),
        "pricingHealth": {"status": health, "recentReportsCount": count, "recentReports": shown},
        "decisionHistory": [_decision(record) for record in decisions],
        "recentActivity": {
            "pricingReports": shown,
            "systemEvents": events,
            "healthStatus": {
                "overall": health,
                "heartbeat": heartbeat_health(agent.last_heartbeat_at, at=now),
                "activity": "active" if count else "inactive",
                "recentReportsCount": count,
                "decisionCount": len(decisions),
            },
        },
    }


def _last_decision(record: Decided | None, now: datetime) -> dict[str, Any]:
    if record is None:
        return {"type": None, "time": None, "elapsed": None}
    elapsed = elapsed_since(record.created_at, now)
    return {"type": record.decision_type, "time": clock.isoformat(record.created_at), "elapsed": elapsed}


def elapsed_since(at: datetime, now: datetime) -> dict[str, Any]:
    """In the largest unit that fits. The page adds the word "ago"."""
    minutes = max(0, int((now - at).total_seconds() // 60))
    value, unit = minutes, "min"
    if minutes >= 24 * 60:
        value, unit = minutes // (24 * 60), "d"
    elif minutes >= 60:
        value, unit = minutes // 60, "h"
    return {"value": value, "unit": unit, "minutes": minutes, "formatted": f"{value} {unit}"}


def _ago(at: datetime | None, now: datetime) -> str | None:
    if at is None:
        return None
    elapsed = elapsed_since(at, now)
    return str(elapsed["formatted"]) if elapsed["minutes"] else "< 1 min"


def _decision(record: Decided) -> dict[str, Any]:
    return {
        "type": record.decision_type,
        "action": record.action or record.decision_type,
        "riskScore": _number(record.risk_score),
        "expectedSavings": _number(record.expected_savings),
        "currentMode": record.current_mode,
        "time": clock.isoformat(record.created_at),
    }


def _is_complete(report: Report) -> bool:
    """A row without both numbers blanks the whole page, and an on-demand price of 0 prints NaN (4.3)."""
    return report.spot_price is not None and report.ondemand_price is not None and report.ondemand_price > 0


def _report(report: Report) -> dict[str, Any]:
    return {
        "time": clock.isoformat(report.received_at),
        "onDemandPrice": _number(report.ondemand_price),
        "spotPrice": _number(report.spot_price),
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
