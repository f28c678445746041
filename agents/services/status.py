from agents.models import Agent
from notifications.services import emit, notify

Status = Agent.Status


def announce(*, agent: Agent, old_status: str, new_status: str, reason: str = "") -> None:
    """Event on every change of status; a message in the inbox when an agent goes away or comes back."""
    name = agent.hostname or agent.logical_agent_id
    went = new_status == Status.OFFLINE
    text = f"Agent {name} is {new_status}" + (f": {reason}" if reason else "")
    emit(
        event_type="agent_marked_offline" if went else "agent_status_changed",
        severity="warning" if went else "info",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=agent.instance_id,
        message=text,
        metadata={"old_status": old_status, "new_status": new_status},
    )
    if went or old_status == Status.OFFLINE:
        notify(
            client=agent.client,
            notification_type="agent_offline" if went else "agent_online",
            severity="warning" if went else "info",
            message=text,
            agent_id=agent.public_id,
        )
