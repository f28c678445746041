"""The server itself, for operators (dashboard-api 2.2)."""

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from analytics.selectors.health import system_health
from analytics.serializers.system import SystemHealthOut
from clients.permissions import IsOperator
from clients.principals import ApiRequest


class SystemViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]

    @extend_schema(summary="Database, decision engine and models", responses=SystemHealthOut)
    def health(self, request: ApiRequest) -> Response:
        """Always 200, whatever does not work."""
        return Response(system_health())
