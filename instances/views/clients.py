"""What tenants and operators see of instances and order for them (dashboard-api 2.6)."""

from typing import Any

from rest_framework import viewsets
from rest_framework.response import Response

from agents.errors import AgentNotFound
from agents.models import Agent
from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from instances.filters import InstanceFilter
from instances.models import Instance
from instances.selectors.listing import as_client_rows, find_instance
from instances.serializers.orders import ForceSwitchIn, LaunchIn
from instances.services import orders

DEFAULT_ROWS, MOST_ROWS = 2000, 5000


class InstanceViewSet(viewsets.GenericViewSet[Instance]):
    queryset = Instance.objects.select_related("agent").order_by("-created_at", "-id")
    permission_classes = [IsOperatorOrClient]
    filterset_class = InstanceFilter

    def list(self, request: ApiRequest, client_id: str) -> Response:
        own = self.get_queryset().filter(client__public_id=client_id)  # foreign ones: IsOperatorOrClient said no
        return Response(as_client_rows(self.filter_queryset(own)[: _limit(request)]))

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


def _limit(request: ApiRequest) -> int:
    given = request.query_params.get("limit", "")
    return min(max(int(given), 1), MOST_ROWS) if given.isdecimal() else DEFAULT_ROWS
