"""One operation on many agents or instances, each for itself: some may fail (dashboard-api 2.2)."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agents.errors import AgentNotFound
from agents.models import Agent
from clients.principals import Principal
from instances.selectors.listing import find_instance
from instances.services import orders
from instances.services.agent_settings import set_enabled
from instances.services.departures import remove_agent
from spotopt.common.errors import DATABASE_AWAY, DomainError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    id: str
    error: str = ""  # empty: it succeeded


def execute(*, operation: str, ids: Iterable[str], who: Principal) -> list[Result]:
    """`operation` is one of OPERATIONS; an id that stands there twice counts once."""
    act = OPERATIONS[operation]
    return [_attempt(act, one, who) for one in dict.fromkeys(ids)]


def _attempt(act: Callable[[str, Principal], None], one: str, who: Principal) -> Result:
    try:
        act(one, who)
    except DomainError as refusal:
        return Result(one, refusal.message)
    except DATABASE_AWAY:
        log.exception("a bulk operation failed for %s", one)
        return Result(one, "The database does not answer, try again")
    return Result(one)


def _delete(agent_id: str, who: Principal) -> None:
    remove_agent(agent=_agent(agent_id, who), actor=who.name, only_idle=True)


def _enable(agent_id: str, who: Principal) -> None:
    set_enabled(agent=_agent(agent_id, who), enabled=True, actor=who.name)


def _disable(agent_id: str, who: Principal) -> None:
    set_enabled(agent=_agent(agent_id, who), enabled=False, actor=who.name)


def _terminate(instance_id: str, who: Principal) -> None:
    orders.terminate(instance=find_instance(who=who, instance_id=instance_id), actor=who.name)


def _agent(agent_id: str, who: Principal) -> Agent:
    agent = Agent.objects.for_principal(who).filter(public_id=agent_id).first()
    if agent is None:
        raise AgentNotFound
    return agent


OPERATIONS: dict[str, Callable[[str, Principal], None]] = {
    "delete_agents": _delete,
    "enable_agents": _enable,
    "disable_agents": _disable,
    "terminate_instances": _terminate,
}
