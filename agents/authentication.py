from datetime import timedelta
from typing import Any

from rest_framework.request import Request

from agents.models import Agent, AgentQuerySet
from clients.authentication import BearerAuthentication
from clients.principals import Principal
from spotopt.common import clock, crypto, logs
from spotopt.common.compiled import Compiled

CLEANS_UP_FOR = timedelta(hours=24)  # after its deletion (agent-api 4.10)


class AgentAuthentication(BearerAuthentication):
    """Client token and agent in one statement: the common case of the busiest calls. `request.auth` is the agent.

    When that finds nothing, the plain look-up decides between 401, 403 and 404, so a wrong token is told before a
    wrong id (agent-api 1.2 rule 13).
    """

    refuses_guessing = False  # no 429 on the agent plane

    def authenticate(self, request: Request) -> tuple[Principal, Any] | None:
        agent_id, token = request.parser_context["kwargs"].get("agent_id"), self.read_token(request)
        agent = find_agent(agent_id=agent_id, token=token) if agent_id and token else None
        if agent is None or (agent.is_deleted and not _may_clean_up(agent, request.parser_context["view"])):
            return super().authenticate(request)
        logs.client.set(agent.client.public_id)
        logs.agent.set(agent.public_id)
        return Principal(client=agent.client), agent


def _described() -> AgentQuerySet:
    return Agent.objects.select_related("client").with_counts()


_BY_ID_AND_TOKEN: Compiled[Agent] = Compiled(
    lambda agent_id, *hashes: _described().filter(public_id=agent_id, client__token_hash__in=hashes)
)


def find_agent(*, agent_id: str, token: str) -> Agent | None:
    """The agent of an active client with this token; an id that was merged away finds the agent it became."""
    agent = _BY_ID_AND_TOKEN.first(agent_id, *crypto.token_hashes(token))
    if agent and agent.merged_into_id:
        agent = _described().get(pk=agent.merged_into_id)
        agent.called_as = agent_id  # type: ignore[attr-defined]
    return agent if agent and agent.client.is_active else None


def _may_clean_up(agent: Agent, view: Any) -> bool:
    """A deleted agent is still told which standbys to terminate, and may say that it did."""
    is_recent = agent.deleted_at is not None and clock.now() - agent.deleted_at < CLEANS_UP_FOR
    return is_recent and view.action in getattr(view, "clean_up_actions", ())


def find_any_agent(*, agent_id: str) -> Agent | None:
    """For operators: the living agent of any client."""
    return Agent.objects.living().select_related("client").with_counts().filter(public_id=agent_id).first()
