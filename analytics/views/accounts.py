"""Clients and the whole fleet in figures, for operators (dashboard-api 2.2)."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from analytics.selectors.accounts import client_rows, platform_stats
from analytics.selectors.growth import client_growth
from analytics.serializers.accounts import ClientRowOut, GrowthOut, StatsOut
from clients.permissions import IsOperator
from clients.principals import ApiRequest
from spotopt.common.params import whole_number

GROWTH_DAYS, MOST_DAYS = 30, 365


class AccountViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(summary="The whole fleet in figures", responses=StatsOut)
    def stats(self, request: ApiRequest) -> Response:
        return Response(platform_stats())

    @extend_schema(summary="All clients, newest first", responses=ClientRowOut(many=True))
    def list(self, request: ApiRequest) -> Response:
        return Response(client_rows())

    @extend_schema(
        summary="The number of clients per day, oldest first",
        parameters=[OpenApiParameter("days", int, description=f"1 to {MOST_DAYS}, default {GROWTH_DAYS}.")],
        responses=GrowthOut(many=True),
    )
    def growth(self, request: ApiRequest) -> Response:
        """Today included; empty while there is no client."""
        return Response(client_growth(days=whole_number(request, "days", default=GROWTH_DAYS, most=MOST_DAYS)))
