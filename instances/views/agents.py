"""What agents call about their instances: registration, heartbeat, reports (agent-api section 3)."""

import logging
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from agents.attribution import Caller, set_cookie
from agents.authentication import AgentAuthentication
from agents.errors import AgentNotFound
from agents.models import Agent
from agents.selectors import config_of, disabled_config
from agents.views import AgentPlaneViewSet
from clients.authentication import ClientTokenAuthentication
from clients.permissions import IsClient
from clients.principals import ApiRequest
from instances.serializers.answers import (
    HeartbeatOut,
    InstanceLaunchedOut,
    InstancesToTerminateOut,
    InstanceTerminatedOut,
    PricingRecordedOut,
    RegisteredOut,
    ResultRecordedOut,
    SwitchRecordedOut,
    UninstalledOut,
)
from instances.serializers.prices import PricingReportIn, parse_pricing_report
from instances.serializers.reports import (
    HeartbeatIn,
    InstanceNamedIn,
    InstanceTerminatedIn,
    LaunchedIn,
    RegisterIn,
    ResultIn,
    SwitchIn,
)
from instances.services import (
    departures,
    heartbeats,
    pricing,
    registration,
    results,
    switching,
    terminations,
)
from notifications.services import emit
from spotopt.common import clock, logs
from spotopt.common.addresses import peer_address
from spotopt.common.errors import Invalid
from spotopt.common.serializers import SuccessOut

log = logging.getLogger(__name__)


class RegistrationViewSet(viewsets.ViewSet):
    """The two calls without an agent id in the path."""

    authentication_classes = [ClientTokenAuthentication]
    permission_classes = [IsClient]
    throttle_classes: list[Any] = []
    accepts_body_token = True  # v2 and v4 repeat the token there (agent-api 1.3)

    @extend_schema(summary="Register an agent on an instance", request=RegisterIn, responses=RegisteredOut)
    def register(self, request: ApiRequest) -> Response:
        client = request.user.tenant
        try:
            body = RegisterIn().parse_registration(request.data)
        except Invalid:
            emit(
                event_type="validation_error",
                severity="warning",
                client=client,
                message="A registration without an instance id was refused",
            )
            raise
        registered = registration.register(client=client, body=body)
        agent, is_primary = registered.agent, registered.role == "primary"
        logs.agent.set(agent.public_id)
        response = Response(
            {
                "agent_id": agent.public_id,
                "config": config_of(agent) if is_primary else disabled_config(agent),
                "client_id": client.public_id,
                "instance_id": registered.instance.instance_id,
                "role": registered.role,
                "message": f"Registered as {registered.role}",
                "server_time": clock.isoformat(clock.now()),
            }
        )
        set_cookie(response, request, agent=agent, instance_id=registered.instance.instance_id)
        return response

    @extend_schema(summary="Say that the agent is being removed", request=InstanceNamedIn, responses=UninstalledOut)
    def uninstall(self, request: ApiRequest) -> Response:
        body = InstanceNamedIn().parse(request.data)
        client = request.user.tenant
        agent = departures.record_uninstall(client=client, **body) if body["instance_id"] else None
        message = "The agent was removed" if agent else "No agent runs on this instance"
        return Response({"success": True, "agent_id": agent.public_id if agent else None, "message": message})


class ReportViewSet(AgentPlaneViewSet):
    authentication_classes = [AgentAuthentication]
    clean_up_actions = ("instances_to_terminate",)

    @extend_schema(summary="Sign of life; the answer says what to do", request=HeartbeatIn, responses=HeartbeatOut)
    def heartbeat(self, request: ApiRequest, agent_id: str) -> Response:
        """200 for every living agent, whatever it sends: a refusal wedges v5 for good (agent-api 3.2, section 7)."""
        body = HeartbeatIn().parse(request.data)
        agent = self.agent
        caller = self.caller(claimed=body["instance_id"])
        if body["reconnect"]:
            caller = self._reconnected(agent, caller)
        heard = heartbeats.record_heartbeat(
            agent=agent,
            caller=caller,
            status=body["status"].lower(),
            az=body["az"],
            instance_type=body["instance_type"],
            mode=body["mode"],
        )
        is_settled = not body["inventory"] or self._apply_inventory(agent, caller, body["inventory"])
        is_primary = heard.role == "primary"
        if is_primary and agent.instance_id and is_settled and heard.is_unchanged and not body["reconnect"]:
            self.keep_answer(heard=agent.instance_id)
        response = Response(
            {
                "success": True,
                "agent_id": agent.public_id,
                "status": heard.status,
                "role": heard.role,
                "config": config_of(agent) if is_primary else disabled_config(agent),
                "config_version": agent.config_version,
                "commands_pending": agent.open_commands if is_primary else 0,
                "server_time": clock.isoformat(clock.now()),
            }
        )
        if caller.source in ("body", "address"):
            set_cookie(response, request, agent=agent, instance_id=caller.instance_id)
        return response

    def _reconnected(self, agent: Agent, caller: Caller) -> Caller:
        """A v5 agent with an id from its disk names no instance: it is the primary, or has to register."""
        if not heartbeats.may_reconnect(agent=agent, peer=peer_address(self.request)):
            raise AgentNotFound
        return Caller(agent.instance_id, "address") if caller.source in ("sole", "unknown") else caller

    def _apply_inventory(self, agent: Agent, caller: Caller, snapshot: dict[str, Any]) -> bool:
        """After the heartbeat itself is safe; its own failure must not silence the agent."""
        try:
            with transaction.atomic():
                return heartbeats.record_inventory(agent=agent, caller=caller, snapshot=snapshot)
        except Exception:
            log.exception("the inventory of agent %s was not applied", agent.public_id)
            return False

    @extend_schema(summary="Report prices", request=PricingReportIn, responses=PricingRecordedOut)
    def pricing_report(self, request: ApiRequest, agent_id: str) -> Response:
        report = parse_pricing_report(request.data)
        caller = self.caller(claimed=report.instance_id)
        recorded = pricing.record_report(agent=self.agent, caller_instance_id=caller.instance_id, report=report)
        return Response(
            {"success": True, "report_id": recorded.report_id, "records_inserted": recorded.records_inserted}
        )

    @extend_schema(summary="Report a finished switch", request=SwitchIn, responses=SwitchRecordedOut)
    def switch_report(self, request: ApiRequest, agent_id: str) -> Response:
        recorded = switching.record_report(agent=self.agent, report=SwitchIn().parse_report(request.data))
        impact = recorded.switch.savings_impact
        return Response(
            {
                "success": True,
                "switch_id": recorded.switch.public_id,
                "savings_impact": None if impact is None else float(impact),
                "old_instance_status": recorded.old_status,
                "new_instance_status": recorded.new_status,
                "duplicate": recorded.is_duplicate,
            }
        )

    @extend_schema(summary="Report how a v5 order went", request=ResultIn, responses=ResultRecordedOut)
    def action_result(self, request: ApiRequest, agent_id: str) -> Response:
        result = ResultIn().parse_result(request.data)
        status = results.record_result(agent=self.agent, result=result)
        if status == "unknown":
            log.warning("action-result for unknown request %s", result.request_id)
        return Response({"success": True, "request_id": result.request_id, "status": status})

    @extend_schema(summary="Report that an instance ended", request=InstanceNamedIn, responses=SuccessOut)
    def termination(self, request: ApiRequest, agent_id: str) -> Response:
        body = InstanceNamedIn().parse(request.data)
        caller = self.caller(claimed=body["instance_id"])
        departures.record_termination(agent=self.agent, caller=caller, reason=body["reason"] or "no reason given")
        return Response({"success": True, "message": "Termination recorded"})

    @extend_schema(summary="Say that the agent is stopping", request=InstanceNamedIn, responses=SuccessOut)
    def shutdown(self, request: ApiRequest, agent_id: str) -> Response:
        body = InstanceNamedIn().parse(request.data)
        departures.record_shutdown(agent=self.agent, caller=self.caller(claimed=body["instance_id"]))
        return Response({"success": True, "message": "Shutdown recorded"})

    @extend_schema(summary="Old instances whose wait is over", responses=InstancesToTerminateOut)
    def instances_to_terminate(self, request: ApiRequest, agent_id: str) -> Response:
        caller, due = self.caller(), []
        if caller.is_primary_of(self.agent) and not terminations.may_come_due(self.agent):
            self.keep_answer()
        else:
            due = terminations.due_for(agent=self.agent, caller=caller)
        return Response(
            {
                "instances": [
                    {
                        "instance_id": item.instance_id,
                        "instance_type": item.instance_type,
                        "az": item.az,
                        "reason": item.reason,
                        "seconds_waiting": item.seconds_waiting,
                        "seconds_since_marked": item.seconds_waiting,
                    }
                    for item in due
                ],
                # False makes v4 ignore the list, and a deleted agent's settings are off
                "auto_terminate_enabled": self.agent.auto_terminate_enabled or self.agent.is_deleted,
                "terminate_wait_seconds": self.agent.terminate_wait_seconds,
            }
        )

    @extend_schema(summary="Report the real id of a launch", request=LaunchedIn, responses=InstanceLaunchedOut)
    def instance_launched(self, request: ApiRequest, agent_id: str) -> Response:
        body = LaunchedIn().parse(request.data)
        missing = [name for name in ("temp_instance_id", "instance_id") if not body[name]]
        if missing:
            raise Invalid("Validation failed", details={name: ["This field is required."] for name in missing})
        instance = results.record_launched(
            agent=self.agent,
            temporary_id=body["temp_instance_id"],
            instance_id=body["instance_id"],
            request_id=body["request_id"],
        )
        return Response(
            {
                "success": True,
                "message": "Launch recorded",
                "instance_id": instance.instance_id,
                "status": instance.status,
                "launch_duration_seconds": instance.launch_seconds,
            }
        )

    @extend_schema(
        summary="Report that an instance is gone", request=InstanceTerminatedIn, responses=InstanceTerminatedOut
    )
    def instance_terminated(self, request: ApiRequest, agent_id: str) -> Response:
        body = InstanceTerminatedIn().parse(request.data)
        if not body["instance_id"]:
            raise Invalid("Validation failed", details={"instance_id": ["This field is required."]})
        instance = terminations.record_terminated(agent=self.agent, instance_id=body["instance_id"])
        return Response(
            {
                "success": True,
                "message": "Termination recorded",
                "instance_id": instance.instance_id,
                "status": instance.status,
                "termination_duration_seconds": instance.termination_seconds,
            }
        )
