from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.response import Response

from agents import selectors
from agents.attribution import Caller, identify
from agents.authentication import AgentAuthentication, find_any_agent
from agents.errors import AgentNotFound
from agents.middleware import AtRest
from agents.models import Agent, Command
from agents.serializers import (
    AgentConfigOut,
    AgentDetailOut,
    CleanupIn,
    CleanupRecordedOut,
    CommandOut,
    CommandStateOut,
    MarkedIn,
    OutcomeIn,
    PendingCommandsOut,
    command_for_v4,
    command_for_v5,
)
from agents.services import cleanups, commands
from agents.services.protocol import note_protocol
from clients.authentication import StaffSessionAuthentication
from clients.permissions import IsClient, IsOperatorOrClient
from clients.principals import ApiRequest, Principal


class AgentPlaneViewSet(viewsets.GenericViewSet[Agent]):
    """Base of what agents call: authentication finds the agent, so `self.agent` costs no query."""

    authentication_classes = [AgentAuthentication]
    permission_classes = [IsClient]
    filter_backends = []
    throttle_classes = []  # a 429 on a heartbeat silences a v5 agent for good (agent-api 1.2 rule 14)

    agent: Agent

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Who asks comes before what for, and both before what is said (agent-api 1.2 rule 13)."""
        super().initial(request, *args, **kwargs)
        if request.auth is None:
            raise AgentNotFound
        self.agent = request.auth

    def keep_answer(self, *, heard: str = "") -> None:
        """Until the agent changes, the same request may get the same answer without asking us (docs/hot-path.md).

        To be said of an answer that depends on nothing else, time included; `heard` is the instance that it shows
        to be alive. Operators are not remembered: their sessions end without any agent changing.
        """
        who = cast("Principal", self.request.user)
        if not who.is_operator:
            self.request._request.at_rest = AtRest(self.agent, heard)  # type: ignore[attr-defined]

    def caller(self, *, claimed: str = "") -> Caller:
        return identify(self.request, self.agent, claimed=claimed)

    @property
    def called_by_primary(self) -> bool:
        return self.caller().is_primary_of(self.agent)


class SharedAgentViewSet(AgentPlaneViewSet):
    """Base of the agent paths that operators use as well (dashboard-api 2.8)."""

    authentication_classes = [AgentAuthentication, StaffSessionAuthentication]
    permission_classes = [IsOperatorOrClient]

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        self.perform_authentication(request)
        if request.user and request.user.is_operator:
            request.auth = find_any_agent(agent_id=kwargs["agent_id"])
        super().initial(request, *args, **kwargs)


class AgentViewSet(AgentPlaneViewSet):
    @extend_schema(summary="An agent and its settings", responses=AgentDetailOut)
    def retrieve(self, request: ApiRequest, agent_id: str) -> Response:
        return Response(selectors.detail_of(self.agent))

    @extend_schema(summary="What the calling instance is to do", responses=AgentConfigOut)
    def config(self, request: ApiRequest, agent_id: str) -> Response:
        if not self.called_by_primary:
            return Response(selectors.disabled_config(self.agent))
        self.keep_answer()
        return Response(selectors.config_of(self.agent) | {"role": "primary"})

    @extend_schema(summary="Report a clean-up of snapshots and images", request=CleanupIn, responses=CleanupRecordedOut)
    def cleanup_report(self, request: ApiRequest, agent_id: str) -> Response:
        body = CleanupIn().parse(request.data)
        entry = cleanups.record_cleanup(
            agent=self.agent, reported_at=body["timestamp"], snapshots=body["snapshots"], amis=body["amis"]
        )
        counts = {name: getattr(entry, name) for name in ("deleted_snapshots", "deleted_amis", "failed_count")}
        return Response({"success": True, "message": "Clean-up recorded"} | counts)


class CommandViewSet(AgentPlaneViewSet):
    @extend_schema(summary="Orders for agents v2 and v4", responses=CommandOut(many=True))
    def pending_v4(self, request: ApiRequest, agent_id: str) -> Response:
        """v2 and v4: a bare array (agent-api 3.5)."""
        return Response([command_for_v4(c) for c in self._due(Command.V4_TYPES, polled="pending-commands")])

    @extend_schema(summary="Orders for agent v5", responses=PendingCommandsOut)
    def pending_v5(self, request: ApiRequest, agent_id: str) -> Response:
        """v5: an object, one order at a time, as it runs all of a reply without looking at results (agent-api 3.8)."""
        due = self._due(Command.V5_TYPES, polled="commands/pending", limit=1)
        return Response({"commands": [command_for_v5(c) for c in due]})

    def _due(self, types: tuple[str, ...], *, polled: str, limit: int | None = None) -> list[Command]:
        caller = self.caller()
        if not caller.is_primary_of(self.agent):
            return []
        note_protocol(agent=self.agent, polled=polled)
        if not commands.may_have_work(self.agent):
            self.keep_answer()
        return commands.poll(agent=self.agent, caller=caller.instance_id, types=types, limit=limit)

    @extend_schema(summary="Report how an order went", request=OutcomeIn, responses=CommandStateOut)
    def executed(self, request: ApiRequest, agent_id: str, command_id: str) -> Response:
        body = OutcomeIn().parse(request.data)
        command = commands.record_outcome(agent=self.agent, command_id=command_id, **body)
        return Response({"success": True, "command_id": command.public_id, "status": command.status})

    @extend_schema(summary="Report that an order was carried out", request=MarkedIn, responses=CommandStateOut)
    def mark_executed(self, request: ApiRequest, agent_id: str) -> Response:
        body = MarkedIn().parse(request.data)
        command = commands.record_execution(agent=self.agent, command_id=body["command_id"])
        return Response({"success": True, "command_id": command.public_id, "status": command.status})
