from typing import Any

from django.db.models import Avg, Count, Max, Q

from agents.models import Agent, Command
from analytics.selectors.savings import agent_totals
from decisions.models import DecisionRecord
from instances.models import Switch
from spotopt.common import clock

SWITCHES = (DecisionRecord.Type.SWITCH_SPOT, DecisionRecord.Type.SWITCH_ONDEMAND)


def statistics_of(agent: Agent) -> dict[str, Any]:
    """The `statistics` of agent-api 3.31; what was never measured is null. The savings are the ledger's."""
    decisions = DecisionRecord.objects.filter(agent=agent).aggregate(
        total=Count("pk"),
        recommended=Count("pk", filter=Q(decision_type__in=SWITCHES)),
        confidence=Avg("confidence"),
        last_at=Max("created_at"),
    )
    triggers = Switch.Trigger
    moves = Switch.objects.filter(agent=agent, success=True, is_anomalous=False).aggregate(
        total=Count("pk"),
        downtime=Avg("downtime_seconds"),
        **{t.value: Count("pk", filter=Q(trigger=t)) for t in triggers},
    )
    orders = Command.objects.filter(agent=agent, purpose=Command.Purpose.SWITCH).aggregate(
        completed=Count("pk", filter=Q(status=Command.Status.COMPLETED)),
        failed=Count("pk", filter=Q(status=Command.Status.FAILED)),
    )
    ended = orders["completed"] + orders["failed"]
    totals = agent_totals(agent=agent)
    confidence, downtime = decisions["confidence"], moves["downtime"]
    return {
        "total_decisions": decisions["total"],
        "switches_executed": moves["total"],
        "switches_recommended": decisions["recommended"],
        "success_rate": round(orders["completed"] / ended, 2) if ended else None,
        "average_confidence": None if confidence is None else round(float(confidence), 4),
        "last_decision_at": clock.isoformat(decisions["last_at"]),
        "decisions_by_trigger": {t: moves[t] for t in (triggers.AUTOMATIC, triggers.MANUAL, triggers.EMERGENCY)},
        "avg_downtime_seconds": None if downtime is None else round(downtime),
        "total_savings_generated": round(float(totals.savings_usd or 0), 4),
        "price_coverage": round(float(totals.priced_seconds / totals.seconds), 4) if totals.seconds else None,
    }
