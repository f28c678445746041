"""What operators do by hand where something is stuck; from the console only."""

from agents.attribution import Caller
from agents.models import Agent, Command
from agents.services.commands import lock_agent, withdraw
from instances.models import Instance, Replica
from instances.services import replicas, roles, terminations
from instances.services.departures import record_termination
from instances.services.orders import locked
from notifications.services import emit
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.errors import Conflict


@retried_transaction
def cancel_order(*, command: Command, actor: str) -> None:
    """Only one that no agent has fetched. What it was to launch is wanted no more. Raises Conflict."""
    agent = lock_agent(command.agent_id)
    now, reason = clock.now(), f"cancelled by {actor}"
    waiting = Command.objects.filter(pk=command.pk, status=Command.Status.PENDING)
    if not waiting.exists():
        command.refresh_from_db(fields=["status"])
        raise Conflict(f"The order is {command.status}; only one that was not fetched yet can be taken back")
    withdraw(agent=agent, orders=waiting, reason=reason, status=Command.Status.CANCELLED)
    for placeholder in Instance.objects.filter(
        agent=agent, command_id=command.public_id, status=Instance.Status.LAUNCHING
    ):
        placeholder.agent = agent
        roles.mark_terminated(instance=placeholder, at=now, reason="the launch was cancelled")
    for standby in Replica.objects.active().filter(agent=agent, launch_command_id=command.public_id):
        replicas.retire(agent=agent, replica=standby, at=now, reason=reason)
    emit(
        event_type="command_cancelled",
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=command.instance_id,
        actor=actor,
        message=f"{command.get_command_type_display()} order to {agent.logical_agent_id} {reason}",
        metadata={"command_id": command.public_id},
    )


@retried_transaction
def release_termination(*, instance: Instance, actor: str) -> None:
    """An operator has looked: it may be terminated (agent-api R8), and attempts that failed start over.

    Raises Conflict where nothing is held or given up.
    """
    agent, instance = locked(instance)
    if instance.termination_confirmed or instance.is_active:
        raise Conflict(f"{instance.instance_id} does not wait for its termination")
    if not (instance.termination_hold or instance.termination_attempts):
        raise Conflict(f"{instance.instance_id} is not held back")
    instance.termination_hold, instance.termination_attempts = False, 0
    instance.termination_attempted_at = None
    instance.save(update_fields=["termination_hold", "termination_attempts", "termination_attempted_at"])
    closed = Replica.objects.filter(agent=agent, instance_id=instance.instance_id, termination_confirmed=False)
    closed.update(termination_attempts=0, termination_attempted_at=None)
    text = f"{instance.instance_id} may be terminated: released by {actor}"
    _tell("termination_released", agent, instance, text, actor)


@retried_transaction
def confirm_gone(*, instance: Instance, actor: str) -> None:
    """An operator has looked in EC2: it no longer exists. Raises Conflict when that is known."""
    agent, instance = locked(instance)
    if instance.termination_confirmed:
        raise Conflict(f"{instance.instance_id} is known to be gone")
    if instance.is_primary:
        caller = Caller(instance.instance_id, "body")
        record_termination(agent=agent, caller=caller, reason=f"confirmed by {actor}")
    else:
        terminations.record_terminated(agent=agent, instance_id=instance.instance_id)
    text = f"{instance.instance_id} no longer exists: confirmed by {actor}"
    _tell("termination_confirmed", agent, instance, text, actor)


def _tell(event_type: str, agent: Agent, instance: Instance, text: str, actor: str) -> None:
    emit(
        event_type=event_type,
        client=agent.client,
        agent_id=agent.public_id,
        instance_id=instance.instance_id,
        actor=actor,
        message=text,
    )
