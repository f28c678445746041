from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from analytics.selectors.instance_metrics import metrics_of
from analytics.serializers.instances import InstanceMetricsOut
from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from instances.selectors.listing import find_instance


class InstanceMetricsViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]

    @extend_schema(
        summary="The figures of an instance",
        parameters=[OpenApiParameter("instance_id", str, OpenApiParameter.PATH, description="EC2's id.")],
        responses=InstanceMetricsOut,
    )
    def retrieve(self, request: ApiRequest, instance_id: str) -> Response:
        return Response(metrics_of(find_instance(who=request.user, instance_id=instance_id)))
