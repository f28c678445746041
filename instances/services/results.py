"""What a v5 agent says about an order it ran (agent-api 3.9, 3.33). Idempotent: cached re-reports are normal."""

from dataclasses import dataclass
from typing import Any

from agents.models import Agent, Command
from agents.services.commands import conclude, lock_agent
from instances.errors import InstanceNotFound
from instances.models import Instance, Replica
from instances.services import failover, launches, replicas, roles, terminations
from spotopt.common import clock
from spotopt.common.db import retried_transaction


@dataclass(frozen=True)
class ActionResult:
    request_id: str
    succeeded: bool
    cloud_instance_id: str = ""
    error_message: str = ""
    is_confirmed: bool = True  # false: EC2 did not show the expected state in time, although the call succeeded


@retried_transaction
def record_launched(*, agent: Agent, temporary_id: str, instance_id: str, request_id: str) -> Instance:
    """POST instance-launched. Raises InstanceNotFound when neither the temporary id nor the request is known."""
    agent = lock_agent(agent.pk)
    placeholder = launches.placeholder_of(agent, temporary_id, request_id)
    if placeholder is None:
        raise InstanceNotFound
    now = clock.now()
    instance = launches.confirm(agent=agent, placeholder=placeholder, instance_id=instance_id, at=now)
    failover.pursue(agent=agent, at=now)
    instance.refresh_from_db()
    return instance


@retried_transaction
def record_result(*, agent: Agent, result: ActionResult) -> str:
    """Returns the command's status, or `unknown` for a request that is not this agent's."""
    agent = lock_agent(agent.pk)
    command = Command.objects.filter(agent=agent, request_id=result.request_id).select_related("agent__client").first()
    if command is None:
        return "unknown"
    handle = {
        Command.Type.LAUNCH_INSTANCE: _launch_ended,
        Command.Type.TERMINATE_INSTANCE: _termination_ended,
    }.get(Command.Type(command.command_type), _other_ended)
    handle(agent, command, result)
    failover.pursue(agent=agent, at=clock.now())
    command.refresh_from_db()
    return command.status


def _launch_ended(agent: Agent, command: Command, result: ActionResult) -> None:
    now = clock.now()
    placeholder = launches.launched_by(command)
    if not result.succeeded:
        if placeholder and placeholder.status == Instance.Status.LAUNCHING:
            launches.fail(agent=agent, placeholder=placeholder, reason=result.error_message, at=now)
            _fail_replica(agent, command, result.error_message)
        _other_ended(agent, command, result)
    elif placeholder and result.cloud_instance_id and result.is_confirmed:
        launches.confirm(agent=agent, placeholder=placeholder, instance_id=result.cloud_instance_id, at=now)
    else:  # stays `launching` until an inventory or the instance itself shows that it runs
        if placeholder and result.cloud_instance_id:
            launches.bind(agent=agent, placeholder=placeholder, instance_id=result.cloud_instance_id, at=now)
        conclude(command=command, succeeded=True, message="Launched; EC2 has not confirmed it yet")


def _fail_replica(agent: Agent, command: Command, reason: str) -> None:
    replica = Replica.objects.active().filter(agent=agent, launch_command_id=command.public_id).first()
    if replica:
        replicas.fail(agent=agent, replica=replica, at=clock.now(), reason=reason)


def _termination_ended(agent: Agent, command: Command, result: ActionResult) -> None:
    instance_id = result.cloud_instance_id or command.params.get("instance_id", "")
    instance = Instance.objects.filter(agent=agent, instance_id=instance_id).first()
    is_gone = "notfound" in result.error_message.lower().replace(" ", "").replace("_", "")
    if instance and (is_gone or (result.succeeded and result.is_confirmed)):
        roles.mark_terminated(instance=instance, at=clock.now(), reason=command.reason or "terminated by its agent")
    elif instance and not result.succeeded:
        terminations.note_failed_attempt(agent=agent, instance=instance, error=result.error_message)
    conclude(command=command, succeeded=result.succeeded or is_gone, message=result.error_message)


def _other_ended(agent: Agent, command: Command, result: ActionResult) -> None:
    details: dict[str, Any] = {"cloud_instance_id": result.cloud_instance_id} if result.cloud_instance_id else {}
    conclude(command=command, succeeded=result.succeeded, message=result.error_message, result=details)
