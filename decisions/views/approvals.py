"""Decision modes, the moves that wait for a person, and what following them would have saved."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from clients.models import Client
from clients.permissions import IsOperator, IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client, set_decision_mode
from decisions.models import Recommendation
from decisions.selectors.approvals import as_row, decision_modes, recommendation_rows
from decisions.selectors.shadows import shadow_savings
from decisions.serializers.approvals import (
    DecisionModeIn,
    DecisionModesOut,
    RejectIn,
    ShadowSavingsOut,
    WaitingMoveOut,
)
from decisions.services import approvals
from spotopt.common.params import whole_number

CLIENT_ID = OpenApiParameter("client_id", str, OpenApiParameter.PATH)
RECOMMENDATION_ID = OpenApiParameter("recommendation_id", str, OpenApiParameter.PATH)
DEFAULT_ROWS, MOST_ROWS = 50, 500
DEFAULT_DAYS, MOST_DAYS = 30, 366
LIST = [
    OpenApiParameter("status", str, enum=Recommendation.Status.values),
    OpenApiParameter("limit", int, description=f"1 to {MOST_ROWS}."),
]


class WaitingMoveViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="A client's moves that wait, or waited, for approval, newest first",
        parameters=[CLIENT_ID, *LIST],
        responses=WaitingMoveOut(many=True),
    )
    def list(self, request: ApiRequest, client_id: str) -> Response:
        return Response(_rows(request, get_client(public_id=client_id)))

    @extend_schema(
        summary="Approve a move: it is ordered",
        parameters=[RECOMMENDATION_ID],
        request=None,
        responses=WaitingMoveOut,
    )
    def approve(self, request: ApiRequest, recommendation_id: str) -> Response:
        """Limits, prices and the agent's state are looked at once more. 409: decided already, or no longer current."""
        found = approvals.find_recommendation(who=request.user, recommendation_id=recommendation_id)
        return Response(as_row(approvals.approve(recommendation=found, actor=request.user.name)))

    @extend_schema(
        summary="Reject a move: it is not proposed again for a day",
        parameters=[RECOMMENDATION_ID],
        request=RejectIn,
        responses=WaitingMoveOut,
    )
    def reject(self, request: ApiRequest, recommendation_id: str) -> Response:
        """409: decided already."""
        body = RejectIn(data=request.data)
        body.is_valid(raise_exception=True)
        found = approvals.find_recommendation(who=request.user, recommendation_id=recommendation_id)
        note = body.validated_data.get("note") or ""
        return Response(as_row(approvals.reject(recommendation=found, actor=request.user.name, note=note)))


class AdminWaitingMoveViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(
        summary="The moves of all clients that wait, or waited, for approval, newest first",
        parameters=LIST,
        responses=WaitingMoveOut(many=True),
    )
    def list(self, request: ApiRequest) -> Response:
        return Response(_rows(request, None))


class DecisionModeViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="What becomes of decisions to move a client's workloads",
        parameters=[CLIENT_ID],
        responses=DecisionModesOut,
    )
    def retrieve(self, request: ApiRequest, client_id: str) -> Response:
        return Response(decision_modes(client=get_client(public_id=client_id)))

    @extend_schema(
        summary="Set the mode of a client's agents that have none of their own",
        parameters=[CLIENT_ID],
        request=DecisionModeIn,
        responses=DecisionModesOut,
    )
    def update(self, request: ApiRequest, client_id: str) -> Response:
        body = DecisionModeIn(data=request.data)
        body.is_valid(raise_exception=True)
        client = get_client(public_id=client_id)
        set_decision_mode(client=client, mode=body.validated_data["decision_mode"], actor=request.user.name)
        return Response(decision_modes(client=client))


class ShadowSavingsViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="What following the recommendations would have saved",
        parameters=[
            CLIENT_ID,
            OpenApiParameter("days", int, description=f"1 to {MOST_DAYS}, default 30; UTC, today in it."),
        ],
        responses=ShadowSavingsOut,
    )
    def retrieve(self, request: ApiRequest, client_id: str) -> Response:
        """Of agents that are, or were, in approve or recommend mode. docs/engine.md says what is compared."""
        days = whole_number(request, "days", default=DEFAULT_DAYS, most=MOST_DAYS)
        return Response(shadow_savings(client=get_client(public_id=client_id), days=days))


def _rows(request: ApiRequest, client: Client | None) -> list[dict[str, Any]]:
    status = request.query_params.get("status", "").strip().lower()
    return recommendation_rows(
        client=client, status=status, limit=whole_number(request, "limit", default=DEFAULT_ROWS, most=MOST_ROWS)
    )
