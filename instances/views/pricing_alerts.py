"""Pricing alerts (dashboard-api 2.4). Here and not in `notifications`, because they name pools."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client
from instances.services import price_alerts
from notifications.models import PricingAlert
from notifications.serializers.alerts import PricingAlertIn, PricingAlertOut

CLIENT_ID = OpenApiParameter("client_id", str, OpenApiParameter.PATH)


class PricingAlertViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="A client's pricing alerts, newest first", parameters=[CLIENT_ID], responses=PricingAlertOut(many=True)
    )
    def list(self, request: ApiRequest, client_id: str) -> Response:
        own = PricingAlert.objects.filter(client=get_client(public_id=client_id)).order_by("-id")
        return Response(PricingAlertOut(own, many=True).data)

    @extend_schema(
        summary="Set a pricing alert",
        parameters=[CLIENT_ID],
        request=PricingAlertIn,
        responses={201: PricingAlertOut},
    )
    def create(self, request: ApiRequest, client_id: str) -> Response:
        """Tells once when the value crosses the threshold, and again only after it was back by 2 % of it."""
        client = get_client(public_id=client_id)
        body = PricingAlertIn(data=request.data)
        body.is_valid(raise_exception=True)
        alert = price_alerts.create(client=client, **body.validated_data)
        return Response(PricingAlertOut(alert).data, status=201)
