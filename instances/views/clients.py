"""What tenants and operators see of instances and order for them (dashboard-api 2.6)."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from agents.errors import AgentNotFound
from agents.models import Agent
from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client
from instances.filters import InstanceFilter
from instances.models import Instance
from instances.selectors.listing import as_client_rows, find_instance
from instances.serializers.answers import LaunchOrderedOut, SwitchOrderedOut, TerminationOrderedOut
from instances.serializers.market import ClientInstanceOut
from instances.serializers.orders import ForceSwitchIn, LaunchIn
from instances.services import orders
from spotopt.common.params import whole_number

DEFAULT_ROWS, MOST_ROWS = 2000, 5000


class InstanceViewSet(viewsets.GenericViewSet[Instance]):
    queryset = Instance.objects.order_by("-created_at", "-id")
    permission_classes = [IsOperatorOrClient]
    filterset_class = InstanceFilter

    @extend_schema(
        summary="A client's instances, newest first",
        parameters=[
            OpenApiParameter("client_id", str, OpenApiParameter.PATH),
            OpenApiParameter("status", str, enum=["active", "terminated"]),
            OpenApiParameter("mode", str, enum=["spot", "ondemand"]),
            OpenApiParameter("search", str, description="Part of id, type, pool or zone."),
            OpenApiParameter("limit", int, default=DEFAULT_ROWS, description=f"1 to {MOST_ROWS}."),
        ],
        responses=ClientInstanceOut(many=True),
    )
    def list(self, request: ApiRequest, client_id: str) -> Response:
        client = request.user.client or get_client(public_id=client_id)  # foreign ones: IsOperatorOrClient said no
        own = self.filter_queryset(self.get_queryset().filter(client=client))
        limit = whole_number(request, "limit", default=DEFAULT_ROWS, most=MOST_ROWS)
        return Response(as_client_rows(own[:limit]))

    @extend_schema(summary="Order a move", request=ForceSwitchIn, responses=SwitchOrderedOut)
    def force_switch(self, request: ApiRequest, instance_id: str) -> Response:
        body = ForceSwitchIn(data=request.data)
        body.is_valid(raise_exception=True)
        command = orders.force_switch(
            instance=find_instance(who=request.user, instance_id=instance_id),
            target=body.target_of(),
            auto_terminate=body.validated_data.get("auto_terminate"),
            actor=request.user.name,
        )
        return Response(
            {
                "success": True,
                "command_id": command.public_id,
                "request_id": command.request_id,
                "target_mode": command.target_mode,
                "target_pool_id": command.target_pool_id or None,
                "status": command.status,
                "message": f"The move to {command.target_pool_id or command.target_mode} was ordered",
            }
        )

    @extend_schema(summary="Order a launch", request=LaunchIn, responses={201: LaunchOrderedOut})
    def launch(self, request: ApiRequest) -> Response:
        body = LaunchIn(data=request.data)
        body.is_valid(raise_exception=True)
        agents = Agent.objects.for_principal(request.user).living()
        agent = agents.filter(public_id=body.validated_data["agent_id"]).first()
        if agent is None:
            raise AgentNotFound
        command = orders.launch(
            agent=agent,
            target=body.target_of(),
            az=body.validated_data.get("az") or "",
            role=body.validated_data["role_hint"],
            actor=request.user.name,
        )
        temporary_id = command.metadata["temporary_instance_id"]
        answer: dict[str, Any] = {"success": True, "instance_id": temporary_id, "status": "launching"}
        answer |= {"command_id": command.public_id, "request_id": command.request_id}
        return Response(answer | {"message": f"The launch of {temporary_id} was ordered"}, status=201)

    @extend_schema(summary="Order the end of an instance", request=None, responses=TerminationOrderedOut)
    def terminate(self, request: ApiRequest, instance_id: str) -> Response:
        instance = find_instance(who=request.user, instance_id=instance_id)
        ended = orders.terminate(instance=instance, actor=request.user.name)
        return Response(
            {
                "success": True,
                "instance_id": instance.instance_id,
                "command_id": ended.command.public_id if ended.command else None,
                "request_id": ended.command.request_id if ended.command else None,
                "status": ended.status,
                "message": f"{instance.instance_id} is {ended.status}",
            }
        )
