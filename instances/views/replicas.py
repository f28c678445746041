"""Standbys, as agents and the dashboard handle them (agent-api 3.20–3.26, dashboard-api 2.4, 2.8)."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from agents.errors import AgentNotFound
from agents.views import SharedAgentViewSet
from clients.idempotency import RequestIdGate
from clients.permissions import IsOperatorOrClient
from clients.principals import ApiRequest
from instances.models import Replica
from instances.selectors.replicas import item_of, pairs_of, pool_of
from instances.serializers.answers import (
    PromotedOut,
    ReplicaBoundOut,
    ReplicaCreatedOut,
    ReplicaDeletedOut,
    ReplicaPairOut,
    ReplicasOut,
    ReplicaStatusOut,
    ReplicaSyncedOut,
)
from instances.serializers.emergencies import (
    BindIn,
    LaunchedReplicaIn,
    PromoteIn,
    ReplicaIn,
    ReplicaStatusIn,
    SyncIn,
    WantedReplicaIn,
)
from instances.services import standby_reports as reports
from instances.services.placement import Wish
from spotopt.common import clock, wire


class ReplicaViewSet(SharedAgentViewSet):
    throttle_classes = [
        RequestIdGate
    ]  # the dashboard may repeat its orders; no agent that calls these sends the header

    clean_up_actions = ("list", "status")

    @extend_schema(
        summary="An agent's standbys",
        parameters=[
            OpenApiParameter(
                "status", str, description="`launching`, `terminated`: an agent's work; others: a filter."
            ),
            OpenApiParameter("include_terminated", bool),
        ],
        responses=ReplicasOut,
    )
    def list(self, request: ApiRequest, agent_id: str) -> Response:
        """With `status`, agents are told what to launch or to terminate; without, people see what there is."""
        now = clock.now()
        status = request.query_params.get("status", "")
        if self.agent.is_deleted and status != "terminated":
            raise AgentNotFound
        if status in ("launching", "terminated"):
            found = self._work(status)
        else:
            rows = Replica.objects.filter(agent=self.agent).order_by("-created_at", "-id")
            closed = request.query_params.get("include_terminated", "").lower() in ("1", "true")
            found = list(rows[:500] if closed else rows.active())
            if status and status != "all":
                found = [r for r in found if r.status == status]
        return Response({"replicas": [item_of(r, at=now) for r in found], "total": len(found)})

    def _work(self, status: str) -> Sequence[Replica]:
        caller = self.caller()
        if not caller.is_primary_of(self.agent):
            return []  # other hosts have none (1.8)
        if not reports.may_have_work(agent=self.agent, status=status):
            self.keep_answer()
            return []
        return reports.work_for(agent=self.agent, caller=caller, status=status)

    @extend_schema(
        summary="Ask for a standby, or report one that was launched",
        request=ReplicaIn,
        responses={200: ReplicaCreatedOut, 201: ReplicaCreatedOut},
    )
    def create(self, request: ApiRequest, agent_id: str) -> Response:
        """A fact when it names a real instance, a wish otherwise (3.21)."""
        launched = LaunchedReplicaIn().parse(request.data)
        if launched["instance_id"] and launched["instance_id"].startswith("i-"):
            replica, is_new = reports.record_launched(agent=self.agent, **launched)
        else:
            replica, is_new = self._request(request), True
        answer = {
            "success": True,
            "replica_id": replica.public_id,
            "instance_id": replica.instance_id or None,
            "status": replica.status,
            "pool": pool_of(replica),
            "hourly_cost": None if replica.hourly_cost is None else float(replica.hourly_cost),
            "message": "The standby is recorded" if is_new else "The standby is known already",
        }
        return Response(answer, status=201 if is_new else 200)

    def _request(self, request: ApiRequest) -> Replica:
        body = WantedReplicaIn(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = body.validated_data
        wish = Wish(
            pool_id=wanted.get("pool_id") or "",
            excluded_zones=wanted.get("exclude_zones", []),
            max_price=wire.clean_number(wanted.get("max_hourly_cost")),
        )
        created_by = wanted.get("created_by") or request.user.name
        return reports.request_by_hand(agent=self.agent, wish=wish, tags=wanted.get("tags", {}), created_by=created_by)

    @extend_schema(summary="Report the instance of a standby", request=BindIn, responses=ReplicaBoundOut)
    def bind(self, request: ApiRequest, agent_id: str, replica_id: str) -> Response:
        body = BindIn().parse(request.data)
        if not body["instance_id"] and "sync_status" in request.data:
            return self.sync_status(request, agent_id, replica_id)
        bound = reports.record_bound(agent=self.agent, replica_id=replica_id, instance_id=body["instance_id"])
        answer = {
            "success": True,
            "replica_id": replica_id,
            "instance_id": bound.replica.instance_id,
            "status": bound.replica.status,
        }
        return Response(answer | ({} if bound.is_first else {"duplicate": True}))

    @extend_schema(summary="Report the state of a standby", request=ReplicaStatusIn, responses=ReplicaStatusOut)
    def status(self, request: ApiRequest, agent_id: str, replica_id: str) -> Response:
        body = ReplicaStatusIn().parse(request.data)
        replica = reports.record_status(agent=self.agent, replica_id=replica_id, **body)
        return Response({"success": True, "replica_id": replica_id, "status": replica.status})

    @extend_schema(summary="Report how far a standby is synchronised", request=SyncIn, responses=ReplicaSyncedOut)
    def sync_status(self, request: ApiRequest, agent_id: str, replica_id: str) -> Response:
        body = SyncIn(data=request.data)
        body.is_valid(raise_exception=True)
        replica = reports.record_sync(agent=self.agent, replica_id=replica_id, **body.validated_data)
        return Response({"success": True, "message": f"The standby is {replica.status}", "status": replica.status})

    @extend_schema(summary="Make a standby the primary", request=PromoteIn, responses=PromotedOut)
    def promote(self, request: ApiRequest, agent_id: str, replica_id: str) -> Response:
        body = PromoteIn(data=request.data)
        body.is_valid(raise_exception=True)
        promoted = reports.promote(
            agent=self.agent,
            replica_id=replica_id,
            keeps_old=body.validated_data["demote_old_primary"],
            waits_for_sync=body.validated_data["wait_for_sync"],
            actor=request.user.name,
        )
        return Response(
            {
                "success": True,
                "message": promoted.message,
                "replica_id": replica_id,
                "new_instance_id": promoted.new_instance_id,
                "new_primary_id": promoted.new_instance_id,
                "old_instance_id": promoted.old_instance_id or None,
                "demoted": body.validated_data["demote_old_primary"],
                "switch_time": clock.isoformat(promoted.replica.promoted_at if promoted.replica else None),
            }
        )

    @extend_schema(summary="End a standby", responses=ReplicaDeletedOut)
    def destroy(self, request: ApiRequest, agent_id: str, replica_id: str) -> Response:
        replica = reports.delete(agent=self.agent, replica_id=replica_id, actor=request.user.name)
        answer: dict[str, Any] = {"success": True, "message": "The standby is being ended", "replica_id": replica_id}
        return Response(answer | {"terminated_at": clock.isoformat(replica.terminated_at)})


class ClientReplicaViewSet(viewsets.GenericViewSet[Replica]):
    queryset = Replica.objects.active().select_related("agent").order_by("-created_at", "-id")
    permission_classes = [IsOperatorOrClient]

    @extend_schema(summary="A client's standbys beside their primaries", responses=ReplicaPairOut(many=True))
    def list(self, request: ApiRequest, client_id: str) -> Response:
        own = self.get_queryset().filter(client__public_id=client_id)
        return Response(pairs_of(own[:1000], at=clock.now()))
