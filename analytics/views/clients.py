"""A client's money and moves (dashboard-api 2.4)."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from analytics.selectors import switches
from analytics.selectors.accounts import client_details
from analytics.selectors.downtime import downtime_of
from analytics.selectors.periods import Period, Range, costs_by_period
from analytics.serializers.accounts import ClientDetailsOut
from analytics.serializers.clients import ChartsOut, DowntimeOut, SavingsOut, SwitchOut
from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client
from spotopt.common.errors import Invalid
from spotopt.common.params import whole_number

CLIENT_ID = OpenApiParameter("client_id", str, OpenApiParameter.PATH)
DEFAULT_SWITCHES, MOST_SWITCHES = 100, 500
LARGEST_OFFSET = 1_000_000
MOST_DAYS = 365
_KEYS_OF_THE_OLD_SERVER = (
    "total_downtime_seconds",
    "average_downtime_per_switch",
    "switches_with_downtime",
    "switches_without_downtime",
    "downtime_by_trigger",
    "longest_downtime",
)


class ClientFiguresViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(summary="A client in figures", parameters=[CLIENT_ID], responses=ClientDetailsOut)
    def retrieve(self, request: ApiRequest, client_id: str) -> Response:
        return Response(client_details(client=get_client(public_id=client_id)))

    @extend_schema(
        summary="Costs and savings by calendar period, oldest first",
        parameters=[
            CLIENT_ID,
            OpenApiParameter(
                "range", str, enum=[*Range, ""], description="Default monthly.", extensions={"x-exact": True}
            ),
        ],
        responses=SavingsOut(many=True),
    )
    def savings(self, request: ApiRequest, client_id: str) -> Response:
        """The last 30 days, 12 ISO weeks or 12 months, or all years; UTC, the current period included."""
        client = get_client(public_id=client_id)
        wanted = request.query_params.get("range", "").strip().lower() or Range.MONTHLY
        if wanted not in list(Range):
            text = f"range is one of {', '.join(Range)}"
            raise Invalid(text, details={"range": [text]})
        return Response([_savings_row(period) for period in costs_by_period(client=client, by=Range(wanted))])

    @extend_schema(summary="What the overview's charts show", parameters=[CLIENT_ID], responses=ChartsOut)
    def charts(self, request: ApiRequest, client_id: str) -> Response:
        client = get_client(public_id=client_id)
        months = costs_by_period(client=client, by=Range.MONTHLY)
        return Response(
            {
                "savingsTrend": [_trend_row(month) for month in months],
                "modeDistribution": switches.mode_distribution(client=client),
                "switchFrequency": switches.switch_frequency(client=client),
            }
        )

    @extend_schema(
        summary="A client's switches, newest first",
        parameters=[
            CLIENT_ID,
            OpenApiParameter("instance_id", str, description="Only those from or to this instance."),
            OpenApiParameter("limit", int, description=f"1 to {MOST_SWITCHES}, default {DEFAULT_SWITCHES}."),
            OpenApiParameter("offset", int, description="Default 0."),
        ],
        responses=SwitchOut(many=True),
    )
    def switch_history(self, request: ApiRequest, client_id: str) -> Response:
        instance_id = request.query_params.get("instance_id", "").strip()
        rows = switches.switch_rows(
            client=get_client(public_id=client_id),
            instance_id="" if instance_id.lower() == "all" else instance_id,
            limit=whole_number(request, "limit", default=DEFAULT_SWITCHES, most=MOST_SWITCHES),
            offset=whole_number(request, "offset", default=0, least=0, most=LARGEST_OFFSET),
        )
        return Response(rows)

    @extend_schema(
        summary="How long workloads were away because of switches",
        parameters=[CLIENT_ID, OpenApiParameter("days", int, description=f"1 to {MOST_DAYS}; default all time.")],
        responses=DowntimeOut,
    )
    def downtime(self, request: ApiRequest, client_id: str) -> Response:
        client = get_client(public_id=client_id)
        days = whole_number(request, "days", default=0, most=MOST_DAYS)
        found = downtime_of(client=client, days=days or None)
        mirrored = {key: found[key] for key in _KEYS_OF_THE_OLD_SERVER}
        return Response({"status": "success", "error": None, "data": found} | mirrored)


def _savings_row(period: Period) -> dict[str, Any]:
    return {
        "name": period.name,
        "savings": float(period.savings_usd),
        "onDemandCost": float(period.baseline_usd),
        "modelCost": float(period.paid_usd),
        "year": period.year,
        "month": period.month,
        "periodStart": period.start.isoformat(),
        "priceCoverage": period.price_coverage,
    }


def _trend_row(month: Period) -> dict[str, Any]:
    return {
        "month": month.name,
        "baseline": float(month.baseline_usd),
        "actual": float(month.paid_usd),
        "savings": float(month.savings_usd),
    }
