"""Interruption signals (agent-api 3.14–3.19)."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from agents.errors import AgentNotFound
from agents.views import AgentPlaneViewSet, SharedAgentViewSet
from clients.principals import ApiRequest
from instances.errors import InstanceNotFound
from instances.models import Instance, InterruptionEpisode
from instances.selectors.emergencies import emergency_status_of, risk_of
from instances.selectors.replicas import pool_of
from instances.serializers.answers import EmergencyReplicaOut, EmergencyStatusOut, NoticeOut, ReplicaConfigOut
from instances.serializers.emergencies import EmergencyIn, NoticeIn
from instances.serializers.reports import TerminationReportIn
from instances.services import episodes, failover, terminations
from instances.services.failover import Outcome
from instances.services.placement import Wish
from spotopt.common import clock, wire
from spotopt.common.errors import Invalid


class NoticeViewSet(AgentPlaneViewSet):
    clean_up_actions = ("termination_report",)

    @extend_schema(summary="Report a rebalance recommendation", request=NoticeIn, responses=NoticeOut)
    def rebalance(self, request: ApiRequest, agent_id: str) -> Response:
        body = NoticeIn().parse(request.data)
        instance_id = self._endangered(body["instance_id"])
        if body["is_termination"]:
            return Response(_answer(self._take(instance_id, body)))
        failover.record_rebalance(agent=self.agent, instance_id=instance_id)
        return Response(
            {"success": True, "status": "acknowledged"} | risk_of(agent=self.agent, instance_id=instance_id)
        )

    @extend_schema(summary="Report a termination notice, and ask for a failover", request=NoticeIn, responses=NoticeOut)
    def termination_imminent(self, request: ApiRequest, agent_id: str) -> Response:
        """v4 shuts down at once on `success: true` and never asks again (3.16)."""
        body = NoticeIn().parse(request.data)
        return Response(_answer(self._take(self._endangered(body["instance_id"]), body)))

    @extend_schema(
        summary="Report a termination notice, or how a termination went",
        request=TerminationReportIn,
        responses=NoticeOut,
    )
    def termination_report(self, request: ApiRequest, agent_id: str) -> Response:
        body = TerminationReportIn().parse(request.data)
        instance_id = body["instance_id"]
        if not instance_id:
            raise Invalid("Validation failed", details={"instance_id": ["This field is required."]})
        if self.agent.is_deleted and body["kind"] != "outcome":
            raise AgentNotFound
        if body["kind"] == "notice":
            if not Instance.objects.filter(agent=self.agent, instance_id=instance_id).exists():
                raise InstanceNotFound
            outcome = self._take(instance_id, body)
            return Response(_answer(outcome) | {"success": True, "instance_id": instance_id, "status": outcome.action})
        status = terminations.record_outcome(
            agent=self.agent,
            instance_id=instance_id,
            succeeded=body["success"] is not False,
            error=body["error"],
            terminated_at=_believable(body["terminated_at"]),
        )
        message = "Termination recorded"
        return Response({"success": True, "message": message, "instance_id": instance_id, "status": status})

    @extend_schema(
        summary="Ask for a standby in an emergency",
        request=EmergencyIn,
        responses={200: EmergencyReplicaOut, 201: EmergencyReplicaOut},
    )
    def create_emergency_replica(self, request: ApiRequest, agent_id: str) -> Response:
        body = EmergencyIn().parse(request.data)
        emergency = failover.create_emergency_replica(
            agent=self.agent,
            instance_id=body["instance_id"],
            kind=body["kind"],
            deadline=_deadline(body["termination_time"]),
            wish=Wish(
                pool_id=body["pool_id"],
                preferred_zones=body["preferred_zones"],
                excluded_zones=body["exclude_zones"],
            ),
        )
        if emergency is None:
            return Response({"success": False, "error": "This instance is not the primary of its agent"})
        replica = emergency.replica
        is_critical = body["kind"] == InterruptionEpisode.Kind.TERMINATION
        answer = {
            "success": True,
            "replica_id": replica.public_id,
            "replica_instance_id": replica.instance_id or None,
            "instance_id": replica.instance_id or None,
            "status": replica.status,
            "pool": pool_of(replica),
            "hourly_cost": None if replica.hourly_cost is None else float(replica.hourly_cost),
            "urgency": "critical" if is_critical else "high",
            "existing": not emergency.is_new,
            "message": "A standby was requested" if emergency.is_new else "There is a standby already",
        }
        return Response(answer, status=201 if emergency.is_new else 200)

    def _endangered(self, claimed: str) -> str:
        """The caller's own instance where the notice names none; the primary where nothing tells (3.14)."""
        return claimed or self.caller().instance_id or self.agent.instance_id

    def _take(self, instance_id: str, body: dict[str, Any]) -> Outcome:
        return failover.record_termination_notice(
            agent=self.agent,
            instance_id=instance_id,
            deadline=_deadline(body["termination_time"]),
            replica_id=body.get("replica_id", ""),
        )


class EmergencyStatusViewSet(SharedAgentViewSet):
    @extend_schema(summary="What is going on about an agent's interruptions", responses=EmergencyStatusOut)
    def emergency_status(self, request: ApiRequest, agent_id: str) -> Response:
        return Response(emergency_status_of(self.agent))

    @extend_schema(summary="Which standbys the agent keeps", responses=ReplicaConfigOut)
    def replica_config(self, request: ApiRequest, agent_id: str) -> Response:
        return Response(
            {
                "enabled": self.agent.replica_enabled,
                "count": self.agent.replica_target,
                "manual_replica_enabled": self.agent.manual_replica_enabled,
                "auto_create_replica": self.agent.auto_switch_enabled,
                "replica_sync_required": True,
                "min_sync_percentage": 100,
                "preferred_replica_pools": [],
            }
        )


def _believable(at: datetime | None) -> datetime | None:
    return wire.clamp_time(at, received_at=clock.now()) if at else None


def _deadline(at: datetime | None) -> datetime | None:
    """When the calling machine ends; unknown where one of the clocks must be wrong, and not, as with other times, now.

    A machine that can still call has its end before it, or AWS is a little late.
    """
    now = clock.now()
    return at if at and now - episodes.GRACE <= at <= now + wire.MAX_FUTURE else None


def _answer(outcome: Outcome) -> dict[str, Any]:
    new_id = outcome.new_instance_id or None
    return {
        "success": outcome.success,
        "message": outcome.message,
        "error": None if outcome.success else outcome.message,
        "action": outcome.action,
        "pending": outcome.action == "failover_pending",
        "replica_id": outcome.replica.public_id if outcome.replica else None,
        "new_instance_id": new_id,
        "new_primary_id": new_id,
        "old_instance_id": outcome.old_instance_id or None,
        "failover_time_ms": outcome.milliseconds,
        "create_emergency_replica": False,  # v4-early would launch one by itself (agent-api 1.1)
    }
