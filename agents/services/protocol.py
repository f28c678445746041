"""Which generation of the wire protocol an agent speaks; two programs share a version string (agent-api 1.1)."""

from agents.models import Agent

Protocol = Agent.Protocol


def guess_at_registration(*, version: str, has_body_token: bool, has_mode: bool, is_v5: bool) -> str:
    if is_v5 or version.startswith("5."):
        return Protocol.V5
    if not has_mode and has_body_token:
        return Protocol.V2
    if has_body_token:
        return Protocol.V4
    return Protocol.V4B if has_mode else ""


def note_protocol(*, agent: Agent, polled: str) -> None:
    """The path an agent polls is the strongest evidence. Writes only when it says something new."""
    if polled == "commands/pending":
        found = Protocol.V5
    elif agent.protocol in (Protocol.V2, Protocol.V4):
        return
    else:
        found = Protocol.V2 if agent.agent_version.startswith("3.") else Protocol.V4
    if agent.protocol != found:
        Agent.objects.filter(pk=agent.pk).update(protocol=found)
        agent.protocol = found


def executes_switches(agent: Agent) -> bool:
    """v4-b never polls; of an agent without any evidence nothing can be expected (agent-api 1.10)."""
    return agent.protocol in (Protocol.V2, Protocol.V4, Protocol.V5)
