"""What people set on an agent, and what follows from it for its standbys (dashboard-api 2.5, agent-api 4.5, 4.10).

Auto-switch and manual replica mode exclude each other: turning one on turns the other off. A setting that is what it
was changes nothing, so that a page that sends its whole form again costs no new config version.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from agents.models import Agent
from agents.selectors import wait_minutes
from agents.services.commands import lock_agent
from instances.errors import AgentUnavailable
from instances.models import Replica
from instances.services import episodes, replicas
from instances.services.orders import drop_undelivered_automatic
from notifications.services import emit
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.errors import Invalid
from spotopt.common.fields import DecisionMode

AUTO, MANUAL, DECISION_MODE = "auto_switch_enabled", "manual_replica_enabled", "decision_mode"


@retried_transaction
def configure(*, agent: Agent, settings: Mapping[str, Any], actor: str) -> Agent:
    """The agent as it is afterwards. `settings` are columns, and `terminate_wait_minutes`.

    Raises Invalid when both modes are wanted at once, AgentUnavailable for a deleted agent.
    """
    wanted = _exclusive(settings)
    agent = _lock_living(agent)
    if minutes := wanted.pop("terminate_wait_minutes", None):
        # The page only knows whole minutes: what it shows, it has not changed
        wanted["terminate_wait_seconds"] = (
            agent.terminate_wait_seconds if minutes == wait_minutes(agent) else minutes * 60
        )
    changed = _change(agent, wanted)
    if changed:
        _follow(agent, wanted, changed, actor=actor, at=clock.now())
        text = ", ".join(f"{name} {old} → {wanted[name]}" for name, old in changed.items())
        _tell(agent, "agent_config_changed", f"Settings of {agent.logical_agent_id} changed: {text}", actor, changed)
    return agent


@retried_transaction
def set_enabled(*, agent: Agent, enabled: bool, actor: str) -> Agent:
    """A disabled agent goes on heart-beating and gets no orders. Raises AgentUnavailable for a deleted one."""
    agent = _lock_living(agent)
    changed = _change(agent, {"enabled": enabled})
    if changed:
        if enabled:
            replicas.keep_one(agent=agent, at=clock.now())
        else:
            drop_undelivered_automatic(agent=agent, reason="The agent was disabled")
        word = "enabled" if enabled else "disabled"
        _tell(agent, "agent_toggled", f"Agent {agent.logical_agent_id} was {word}", actor, changed)
    return agent


def _exclusive(settings: Mapping[str, Any]) -> dict[str, Any]:
    if settings.get(AUTO) and settings.get(MANUAL):
        message = "Auto-switch and manual replica mode exclude each other"
        raise Invalid(message, details={MANUAL: [message]})
    implied: dict[str, bool] = {}
    if settings.get(AUTO):
        implied = {MANUAL: False}
    elif settings.get(MANUAL):
        implied = {AUTO: False}
    return dict(settings) | implied


def _lock_living(agent: Agent) -> Agent:
    agent = lock_agent(agent.pk)
    if agent.is_deleted:
        raise AgentUnavailable("The agent was deleted")
    return agent


def _change(agent: Agent, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Save what is different, as one new config version; the old values of what was changed."""
    changed = {name: getattr(agent, name) for name, value in wanted.items() if getattr(agent, name) != value}
    if changed:
        for name in changed:
            setattr(agent, name, wanted[name])
        agent.config_version += 1
        agent.save(update_fields=[*changed, "config_version"])
    return changed


def _follow(agent: Agent, wanted: Mapping[str, Any], changed: Mapping[str, Any], *, actor: str, at: datetime) -> None:
    if AUTO in changed and not wanted[AUTO]:
        drop_undelivered_automatic(agent=agent, reason="Auto-switch was turned off")
    if DECISION_MODE in changed and agent.acting_mode != DecisionMode.AUTO:
        drop_undelivered_automatic(agent=agent, reason=f"The decision mode is {agent.acting_mode} now")
    if AUTO not in changed and MANUAL not in changed:
        return
    if agent.manual_replica_enabled:
        replicas.keep_one(agent=agent, at=at)
    elif agent.auto_switch_enabled or MANUAL in changed:
        _end_manual_standbys(agent, actor=actor, at=at)


def _end_manual_standbys(agent: Agent, *, actor: str, at: datetime) -> None:
    """Through real orders; each counts as terminated only once that was confirmed (dashboard-api 2.5).

    While an interruption is on, the standby stays, as settings stop no failover (design 2.1): from now on it is the
    signal's, and ends with it.
    """
    in_emergency = episodes.any_open(agent=agent)
    ended = 0
    for replica in replicas.active_of(agent):
        if replica.replica_type != Replica.Type.MANUAL:
            continue
        if in_emergency:
            is_notice = agent.notice_status == Agent.Notice.TERMINATION
            replica.replica_type = Replica.Type.TERMINATION if is_notice else Replica.Type.REBALANCE
            replica.save(update_fields=["replica_type"])
        else:
            replicas.retire(
                agent=agent, replica=replica, at=at, reason=f"manual replica mode was turned off by {actor}"
            )
            ended += 1
    if ended:
        _tell(agent, "replicas_disabled", f"Manual replica mode of {agent.logical_agent_id} ended", actor, {})


def _tell(agent: Agent, event_type: str, text: str, actor: str, changed: Mapping[str, Any]) -> None:
    changes = {name: [_plain(old), _plain(getattr(agent, name))] for name, old in changed.items()}
    emit(
        event_type=event_type,
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=agent.instance_id,
        actor=actor,
        message=text,
        metadata={"changes": changes, "config_version": agent.config_version, "status": agent.status},
    )


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
