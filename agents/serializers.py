from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.models import Agent, Command
from spotopt.common import clock, wire
from spotopt.common.fields import Mode


@extend_schema_serializer(
    examples=[OpenApiExample("A failure", value={"success": False, "message": "InsufficientInstanceCapacity"})]
)
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


class MarkedIn(wire.WireSerializer):
    command_id = wire.Identifier()
    needed = {"command_id": ()}


class AgentConfigOut(serializers.Serializer):
    """What an agent is to do. An instance that is not its agent's primary is told to do nothing."""

    enabled = serializers.BooleanField()
    auto_switch_enabled = serializers.BooleanField()
    auto_terminate_enabled = serializers.BooleanField()
    replica_enabled = serializers.BooleanField()
    manual_replica_enabled = serializers.BooleanField()
    emergency_protection = serializers.BooleanField()
    terminate_wait_seconds = serializers.IntegerField()
    terminate_wait_minutes = serializers.IntegerField(required=False)
    replica_count = serializers.IntegerField()
    max_switches_per_week = serializers.IntegerField()
    max_switches_per_day = serializers.IntegerField()
    min_pool_duration_hours = serializers.IntegerField()
    min_savings_percent = serializers.FloatField(help_text="0 to 100.")
    risk_threshold = serializers.FloatField(help_text="0 to 1.")
    config_version = serializers.IntegerField()
    agent_id = serializers.CharField()
    message = serializers.CharField(required=False)
    role = serializers.ChoiceField(choices=["primary"], required=False)


class AgentDetailOut(AgentConfigOut):
    id = serializers.CharField()
    logical_agent_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Agent.Status.choices)
    instance_id = serializers.CharField(allow_null=True)
    instance_type = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    az = serializers.CharField(allow_null=True)
    current_mode = serializers.ChoiceField(choices=Mode.choices)
    current_pool_id = serializers.CharField(allow_null=True)
    agent_version = serializers.CharField(allow_null=True)
    hostname = serializers.CharField(allow_null=True)
    protocol = serializers.CharField(allow_null=True, help_text="v2, v4, v4b or v5; null until there is evidence.")
    last_heartbeat_at = serializers.DateTimeField(allow_null=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A switch",
            value={
                "id": "0f8fad5b-d9cb-469f-a165-70867728950e",
                "command_type": "switch",
                "target_mode": "spot",
                "target_pool_id": "t3.medium.us-east-1b",
                "priority": 75,
                "terminate_wait_seconds": 300,
                "instance_id": "i-0123456789abcdef0",
                "agent_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                "created_at": "2026-01-05T10:00:00Z",
                "request_id": "16fd2706-8baf-433b-82eb-8c7fada847da",
                "params": {},
                "metadata": {},
            },
        )
    ]
)
class CommandOut(serializers.Serializer):
    id = serializers.CharField()
    command_type = serializers.ChoiceField(choices=Command.Type.choices)
    target_mode = serializers.CharField(allow_null=True)
    target_pool_id = serializers.CharField(allow_null=True)
    priority = serializers.IntegerField()
    terminate_wait_seconds = serializers.IntegerField()
    instance_id = serializers.CharField()
    agent_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    request_id = serializers.CharField()
    params = serializers.DictField()
    metadata = serializers.DictField()


class PendingCommandsOut(serializers.Serializer):
    commands = CommandOut(many=True)


class CommandStateOut(serializers.Serializer):
    success = serializers.BooleanField()
    command_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Command.Status.choices)


class CleanupRecordedOut(serializers.Serializer):
    success = serializers.BooleanField()
    message = serializers.CharField()
    deleted_snapshots = serializers.IntegerField()
    deleted_amis = serializers.IntegerField()
    failed_count = serializers.IntegerField()


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
