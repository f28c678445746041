"""Bodies and answers around agents, as people see and set them (dashboard-api 2.2, 2.5)."""

from typing import Any, ClassVar

from rest_framework import serializers

from agents.models import Agent
from instances.models import Instance
from instances.services.bulk import OPERATIONS
from spotopt.common.bodies import JsonBody
from spotopt.common.errors import Invalid
from spotopt.common.fields import DecisionMode, Mode

LONGEST_WAIT = 1440
MOST_IDS, MOST_REPLICAS = 200, 5


# --- Bodies: JSON types as they are written in the contract, nothing is guessed ------------------------------------


class StrictBoolean(serializers.BooleanField):
    """true or false; 1 and "yes" are mistakes."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictInteger(serializers.IntegerField):
    """A JSON number without a fraction; text and booleans are mistakes."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictDecimal(serializers.DecimalField):
    """A JSON number, rounded to the column's places."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(round(data, self.decimal_places or 0))


class SettingsBody(serializers.Serializer):
    """`columns` = {field: the agent's column or service argument}; a field is also known by its column's name."""

    columns: ClassVar[dict[str, str]] = {}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            data = {name: data[column] for name, column in self.columns.items() if column in data} | data
        return super().to_internal_value(data)

    def settings(self) -> dict[str, Any]:
        """What is asked for, by column. Raises Invalid with a text that tells: people see nothing else of it."""
        if not self.is_valid():
            field, messages = next(iter(self.errors.items()))
            raise Invalid(f"{field}: {messages[0]}", details=dict(self.errors))
        return {self.columns.get(name, name): value for name, value in self.validated_data.items()}


class ConfigIn(SettingsBody):
    terminateWaitMinutes = StrictInteger(
        required=False, min_value=1, max_value=LONGEST_WAIT, help_text="Minutes the old instance is kept."
    )
    autoSwitchEnabled = StrictBoolean(required=False, help_text="On turns manual replica mode off.")
    manualReplicaEnabled = StrictBoolean(required=False, help_text="Keep one standby. On turns auto-switch off.")
    autoTerminateEnabled = StrictBoolean(required=False, help_text="Off: old instances keep running.")
    emergencyProtection = StrictBoolean(required=False, help_text="Off: a rebalance recommendation makes no standby.")
    decisionMode = serializers.ChoiceField(
        DecisionMode.choices,
        required=False,
        allow_null=True,
        help_text="What becomes of decisions to move it; null: as the client's mode says.",
    )
    min_savings_percent = StrictDecimal(5, 2, required=False, min_value=0, max_value=100)
    risk_threshold = StrictDecimal(3, 2, required=False, min_value=0, max_value=1)
    max_switches_per_week = StrictInteger(required=False, min_value=0, max_value=1000)
    max_switches_per_day = StrictInteger(required=False, min_value=0, max_value=1000)
    min_pool_duration_hours = StrictInteger(required=False, min_value=0, max_value=720)

    columns = {
        "terminateWaitMinutes": "terminate_wait_minutes",
        "autoSwitchEnabled": "auto_switch_enabled",
        "manualReplicaEnabled": "manual_replica_enabled",
        "autoTerminateEnabled": "auto_terminate_enabled",
        "emergencyProtection": "emergency_protection",
        "decisionMode": "decision_mode",
    }

    def settings(self) -> dict[str, Any]:
        return {name: "" if value is None else value for name, value in super().settings().items()}


class SettingsIn(SettingsBody):
    auto_switch_enabled = StrictBoolean(required=False)
    auto_terminate_enabled = StrictBoolean(required=False)
    replica_enabled = StrictBoolean(required=False)
    replica_count = StrictInteger(required=False, min_value=0, max_value=MOST_REPLICAS)

    columns = {"replica_count": "replica_target"}


class ToggleIn(SettingsBody):
    enabled = StrictBoolean()


class BulkIn(JsonBody):
    operation = serializers.ChoiceField(choices=list(OPERATIONS))
    agent_ids = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        help_text=f"1 to {MOST_IDS} agent ids, for the operations on agents.",
    )
    instance_ids = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        help_text=f"1 to {MOST_IDS} EC2 instance ids, for terminate_instances.",
    )
    confirm = StrictBoolean(help_text="Must be true.")

    def validate_confirm(self, value: bool) -> bool:
        if not value:
            raise serializers.ValidationError("Must be true.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        name = f"{self.kind_of(attrs['operation'])}_ids"
        attrs["ids"] = list(dict.fromkeys(attrs.get(name, [])))
        if not 1 <= len(attrs["ids"]) <= MOST_IDS:
            raise serializers.ValidationError({name: [f"Needs 1 to {MOST_IDS} ids."]})
        return attrs

    @staticmethod
    def kind_of(operation: str) -> str:
        return "instance" if operation == "terminate_instances" else "agent"


# --- Answers ---------------------------------------------------------------------------------------------------------


def _text(**kwargs: Any) -> serializers.CharField:
    return serializers.CharField(allow_null=True, **kwargs)


def _time(**kwargs: Any) -> serializers.DateTimeField:
    return serializers.DateTimeField(allow_null=True, **kwargs)


class AgentOut(serializers.Serializer):
    """What every list of agents says of one."""

    id = serializers.CharField()
    logicalAgentId = serializers.CharField()
    status = serializers.ChoiceField(choices=Agent.Status.choices)
    hostname = _text()
    instanceId = _text(help_text="The primary's EC2 id.")
    instanceType = _text()
    region = _text()
    az = _text()
    currentMode = serializers.ChoiceField(choices=Mode.choices)
    currentPoolId = serializers.CharField(help_text="`n/a` on on-demand and while unknown.")
    enabled = serializers.BooleanField()
    autoSwitchEnabled = serializers.BooleanField()


class ClientAgentOut(AgentOut):
    lastHeartbeat = _time()
    instanceCount = serializers.IntegerField(help_text="Its instances that launch, serve or stand by.")
    manualReplicaEnabled = serializers.BooleanField()
    autoTerminateEnabled = serializers.BooleanField()
    terminateWaitMinutes = serializers.IntegerField(min_value=1)
    emergencyProtection = serializers.BooleanField()
    agentVersion = _text()
    version = _text(help_text="The same as agentVersion.")
    configVersion = serializers.IntegerField()
    auto_switch_enabled = serializers.BooleanField()
    auto_terminate_enabled = serializers.BooleanField()


class AgentHistoryOut(AgentOut):
    manualReplicaEnabled = serializers.BooleanField()
    lastHeartbeat = _time()
    createdAt = serializers.DateTimeField()
    installedAt = serializers.DateTimeField()
    updatedAt = serializers.DateTimeField(help_text="The last time anything is known of it.")
    deletedAt = _time()
    terminatedAt = _time(help_text="When it was deleted, else when its instance ended.")


class AdminAgentOut(AgentOut):
    clientId = serializers.CharField()
    clientName = serializers.CharField()
    lastHeartbeatAt = _time()
    version = _text(help_text="Of the agent's software.")
    createdAt = serializers.DateTimeField()


class AdminAgentFiltersOut(serializers.Serializer):
    status = _text()
    client_id = _text()
    search = _text()
    include_deleted = serializers.BooleanField()


class AdminAgentsOut(serializers.Serializer):
    agents = AdminAgentOut(many=True)
    total = serializers.IntegerField(help_text="Of all that match, not only of those listed.")
    filters = AdminAgentFiltersOut()


class ClientHealthOut(serializers.Serializer):
    client_id = serializers.CharField()
    client_name = serializers.CharField()
    online = serializers.IntegerField()
    offline = serializers.IntegerField()
    total = serializers.IntegerField(help_text="Without deleted ones.")


class OfflineAgentOut(serializers.Serializer):
    agent_id = serializers.CharField()
    hostname = _text()
    client_name = serializers.CharField()
    last_heartbeat = _time()
    offline_duration_minutes = serializers.IntegerField(allow_null=True, help_text="Since the last heartbeat.")


class HeartbeatDistributionOut(serializers.Serializer):
    healthy = serializers.IntegerField(help_text="Heard within 5 minutes.")
    degraded = serializers.IntegerField(help_text="Heard within 15 minutes.")
    critical = serializers.IntegerField(help_text="Not heard for longer, or never.")


class HealthSummaryOut(serializers.Serializer):
    total_agents = serializers.IntegerField(help_text="Without deleted ones.")
    total = serializers.IntegerField(help_text="The same as total_agents.")
    online = serializers.IntegerField()
    offline = serializers.IntegerField()
    deleted = serializers.IntegerField()
    by_client = ClientHealthOut(many=True)
    recent_offline = OfflineAgentOut(many=True)
    heartbeat_distribution = HeartbeatDistributionOut()


class DoneOut(serializers.Serializer):
    success = serializers.BooleanField()
    agent_id = serializers.CharField()


class ToggledOut(DoneOut):
    enabled = serializers.BooleanField()
    config_version = serializers.IntegerField()


class SettingsOut(DoneOut):
    auto_switch_enabled = serializers.BooleanField()
    manual_replica_enabled = serializers.BooleanField()
    auto_terminate_enabled = serializers.BooleanField()
    config_version = serializers.IntegerField()


class ConfigOut(SettingsOut):
    terminate_wait_minutes = serializers.IntegerField(min_value=1)
    emergency_protection = serializers.BooleanField()
    message = serializers.CharField()


class RemovedOut(DoneOut):
    message = serializers.CharField()


class BulkResultOut(serializers.Serializer):
    agent_id = serializers.CharField(required=False)
    instance_id = serializers.CharField(required=False)
    status = serializers.ChoiceField(choices=["success", "failed"])
    error = serializers.CharField(required=False)


class BulkOut(serializers.Serializer):
    operation = serializers.ChoiceField(choices=list(OPERATIONS))
    total = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = BulkResultOut(many=True)


class ClientHitOut(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    email = _text()
    status = serializers.ChoiceField(choices=["active", "inactive"])
    matchField = serializers.ChoiceField(choices=["name", "email", "id"])


class InstanceHitOut(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    clientId = serializers.CharField()
    clientName = serializers.CharField()
    client = serializers.CharField()
    instanceType = _text()
    region = _text()
    az = _text()
    status = serializers.ChoiceField(choices=Instance.Status.choices)


class AgentHitOut(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    clientId = serializers.CharField()
    clientName = serializers.CharField()
    client = serializers.CharField()
    hostname = _text()
    status = serializers.ChoiceField(choices=Agent.Status.choices)
    instanceId = _text()


class HitsOut(serializers.Serializer):
    clients = ClientHitOut(many=True)
    instances = InstanceHitOut(many=True)
    agents = AgentHitOut(many=True)


class FoundOut(HitsOut):
    query = serializers.CharField(allow_blank=True)
    results = HitsOut()
    total_results = serializers.IntegerField()


class SearchOut(FoundOut):
    """An envelope; everything in `data` stands at the top level as well."""

    status = serializers.ChoiceField(choices=["success"])
    error = _text()
    data = FoundOut()  # type: ignore[assignment]  # DRF takes declared fields off the class
