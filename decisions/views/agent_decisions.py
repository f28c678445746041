from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client
from decisions.selectors.agent_decisions import decision_rows
from decisions.serializers.agent_decisions import AgentDecisionsOut


class AgentDecisionViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="The last decision for each of a client's agents, and the prices it rests on",
        parameters=[OpenApiParameter("client_id", str, OpenApiParameter.PATH)],
        responses=AgentDecisionsOut(many=True),
    )
    def list(self, request: ApiRequest, client_id: str) -> Response:
        return Response(decision_rows(client=get_client(public_id=client_id)))
