"""Decisions about one agent (agent-api 3.28–3.30)."""

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from agents.views import AgentPlaneViewSet, SharedAgentViewSet
from clients.principals import ApiRequest
from decisions.serializers.recommendations import DecideOut, IssuedOut, IssueSwitchIn, RecommendationOut
from decisions.services.recommendations import decide_for, recommendation_for
from instances.serializers.prices import PricingReportIn, parse_pricing_report
from instances.services import orders, pricing


class DecideViewSet(AgentPlaneViewSet):
    @extend_schema(
        summary="What shall this agent do? Its prices are stored", request=PricingReportIn, responses=DecideOut
    )
    def decide(self, request: ApiRequest, agent_id: str) -> Response:
        report = parse_pricing_report(request.data)
        caller = self.caller(claimed=report.instance_id)
        pricing.record_report(agent=self.agent, caller_instance_id=caller.instance_id, report=report)
        return Response(decide_for(self.agent))


class RecommendationViewSet(SharedAgentViewSet):
    @extend_schema(summary="What would be best for this agent now", responses=RecommendationOut)
    def retrieve(self, request: ApiRequest, agent_id: str) -> Response:
        return Response(recommendation_for(self.agent))

    @extend_schema(
        summary="Order a move, within what the agent's settings allow",
        request=IssueSwitchIn,
        responses={201: IssuedOut, 200: IssuedOut},
    )
    def issue(self, request: ApiRequest, agent_id: str) -> Response:
        body = IssueSwitchIn(data=request.data)
        body.is_valid(raise_exception=True)
        target, reason = body.target_of(), body.validated_data.get("reason") or ""
        issued = orders.issue_switch(agent=self.agent, target=target, reason=reason, priority=body.priority_of)
        command = issued.command
        where = target.pool_id or target.mode
        if command is None:
            message = f"The workload runs in {where} already"
        else:
            message = f"The move to {where} {'was ordered before' if issued.is_duplicate else 'was ordered'}"
        return Response(
            {
                "success": command is not None,
                "message": message,
                "agent_id": self.agent.public_id,
                "command_id": command.public_id if command else None,
                "duplicate": issued.is_duplicate,
                "target_mode": target.mode,
                "target_pool_id": target.pool_id or None,
                "reason": reason or None,
                "auto_switch_enabled": self.agent.auto_switch_enabled,
                "current_mode": self.agent.current_mode,
                "current_pool_id": self.agent.current_pool_id or None,
            },
            status=201 if command and not issued.is_duplicate else 200,
        )
