from typing import Any

from agents.models import Command
from spotopt.common import clock, wire


class OutcomeIn(wire.WireSerializer):
    """v4's and the documented forms of a command's outcome (agent-api 3.6)."""

    success = wire.WireBool()
    status = wire.Text(max_length=32)
    message = wire.Text(max_length=2000)
    error = wire.Text(max_length=2000)
    result = wire.WireObject()
    aliases = {"result": ("execution_result",)}

    def parse(self, data: Any) -> dict[str, Any]:
        body = super().parse(data)
        succeeded = body["success"]
        if succeeded is None:  # an explicit bool wins; silence means success, as the old server read it
            succeeded = body["status"].lower() not in ("failed", "failure", "error", "partial")
        return {"succeeded": succeeded, "message": body["message"] or body["error"], "result": body["result"]}


class CleanupIn(wire.WireSerializer):
    timestamp = wire.WireTime()
    snapshots = wire.WireObject()
    amis = wire.WireObject()


def command_for_v4(command: Command) -> dict[str, Any]:
    """An entry of `pending-commands`; integers and ids are never null, or v2 and v4 break (agent-api 3.5)."""
    is_switch = command.command_type == Command.Type.SWITCH
    return {
        "id": command.public_id,
        "command_type": command.command_type,
        "target_mode": command.target_mode if is_switch else None,  # v4 runs anything with a target mode as a switch
        "target_pool_id": command.target_pool_id or None,
        "priority": command.priority,
        "terminate_wait_seconds": command.terminate_wait_seconds,
        "instance_id": command.instance_id,
        "agent_id": command.agent.public_id,
        "created_at": clock.isoformat(command.created_at),
        "request_id": command.request_id,
        "params": command.params,
        "metadata": command.metadata,
    }


def command_for_v5(command: Command) -> dict[str, Any]:
    """An entry of `commands/pending`; `params` and `metadata` are always objects (agent-api 3.8)."""
    entry = command_for_v4(command)
    temporary_id = command.metadata.get("temporary_instance_id")
    return entry | {"instance_id": temporary_id or command.instance_id, "metadata": {}}
