"""Answers to agents, and about standbys, orders and interruptions, as OpenAPI shows them. Prices: USD per hour."""

from rest_framework import serializers

from agents.models import Agent
from agents.serializers import AgentConfigOut
from instances.models import Instance, InterruptionEpisode, Replica
from spotopt.common.serializers import SuccessOut

ROLES = ["primary", "replica", "zombie"]


# --- Agents' calls --------------------------------------------------------------------------------------------------


class RegisteredOut(serializers.Serializer):
    agent_id = serializers.CharField()
    config = AgentConfigOut()
    client_id = serializers.CharField()
    instance_id = serializers.CharField()
    role = serializers.ChoiceField(choices=ROLES)
    message = serializers.CharField()
    server_time = serializers.DateTimeField()


class UninstalledOut(SuccessOut):
    agent_id = serializers.CharField(allow_null=True)


class HeartbeatOut(serializers.Serializer):
    success = serializers.BooleanField()
    agent_id = serializers.CharField()
    status = serializers.CharField(help_text="The agent's status.")
    role = serializers.CharField(help_text="Of the calling instance.")
    config = AgentConfigOut()
    config_version = serializers.IntegerField()
    commands_pending = serializers.IntegerField()
    server_time = serializers.DateTimeField()


class PricingRecordedOut(serializers.Serializer):
    success = serializers.BooleanField()
    report_id = serializers.CharField()
    records_inserted = serializers.IntegerField()


class SwitchRecordedOut(serializers.Serializer):
    success = serializers.BooleanField()
    switch_id = serializers.CharField()
    savings_impact = serializers.FloatField(allow_null=True)
    old_instance_status = serializers.CharField()
    new_instance_status = serializers.CharField()
    duplicate = serializers.BooleanField()


class ResultRecordedOut(serializers.Serializer):
    success = serializers.BooleanField()
    request_id = serializers.CharField(allow_blank=True)
    status = serializers.CharField()


class ToTerminateOut(serializers.Serializer):
    instance_id = serializers.CharField()
    instance_type = serializers.CharField(allow_null=True)
    az = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    seconds_waiting = serializers.IntegerField()
    seconds_since_marked = serializers.IntegerField()


class InstancesToTerminateOut(serializers.Serializer):
    instances = ToTerminateOut(many=True)
    auto_terminate_enabled = serializers.BooleanField()
    terminate_wait_seconds = serializers.IntegerField()


class InstanceLaunchedOut(SuccessOut):
    instance_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Instance.Status.choices)
    launch_duration_seconds = serializers.IntegerField(allow_null=True)


class InstanceTerminatedOut(SuccessOut):
    instance_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Instance.Status.choices)
    termination_duration_seconds = serializers.IntegerField(allow_null=True)


# --- Interruptions --------------------------------------------------------------------------------------------------


class NoticeOut(serializers.Serializer):
    """After a recommendation `status` and the risk, after a notice what was done about it."""

    success = serializers.BooleanField()
    message = serializers.CharField(required=False)
    error = serializers.CharField(required=False, allow_null=True)
    action = serializers.CharField(required=False)
    pending = serializers.BooleanField(required=False)
    replica_id = serializers.CharField(required=False, allow_null=True)
    new_instance_id = serializers.CharField(required=False, allow_null=True)
    new_primary_id = serializers.CharField(required=False, allow_null=True)
    old_instance_id = serializers.CharField(required=False, allow_null=True)
    failover_time_ms = serializers.IntegerField(required=False, allow_null=True)
    create_emergency_replica = serializers.BooleanField(required=False)
    status = serializers.CharField(required=False)
    instance_id = serializers.CharField(required=False)
    risk_score = serializers.FloatField(required=False, help_text="0 to 1.")
    reason = serializers.CharField(required=False)
    notice_status = serializers.ChoiceField(choices=Agent.Notice.choices, required=False)
    notice_deadline = serializers.DateTimeField(required=False, allow_null=True)
    replica_status = serializers.CharField(required=False, allow_null=True)
    emergency_replica_id = serializers.CharField(required=False, allow_null=True)
    target_mode = serializers.CharField(required=False)
    target_pool_id = serializers.CharField(required=False)
    target_pool_name = serializers.CharField(required=False)


class PoolPlaceOut(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    instance_type = serializers.CharField(allow_blank=True)
    region = serializers.CharField(allow_blank=True)
    az = serializers.CharField(allow_blank=True)


class EmergencyReplicaOut(serializers.Serializer):
    """Only `success` and `error` when the caller is not the primary."""

    success = serializers.BooleanField()
    error = serializers.CharField(required=False)
    replica_id = serializers.CharField(required=False)
    replica_instance_id = serializers.CharField(required=False, allow_null=True)
    instance_id = serializers.CharField(required=False, allow_null=True)
    status = serializers.ChoiceField(choices=Replica.Status.choices, required=False)
    pool = PoolPlaceOut(required=False, allow_null=True)
    hourly_cost = serializers.FloatField(required=False, allow_null=True)
    urgency = serializers.ChoiceField(choices=["critical", "high"], required=False)
    existing = serializers.BooleanField(required=False)
    message = serializers.CharField(required=False)


class StandbyBriefOut(serializers.Serializer):
    id = serializers.CharField()
    status = serializers.ChoiceField(choices=Replica.Status.choices)
    pool_id = serializers.CharField(allow_null=True)


class StandbyAlertOut(serializers.Serializer):
    status = serializers.ChoiceField(choices=Replica.Status.choices)
    pool_id = serializers.CharField(allow_null=True)
    sync_progress = serializers.FloatField(help_text="0 to 100.")


class EmergencyActionOut(serializers.Serializer):
    description = serializers.CharField()
    time = serializers.CharField(help_text="UTC, without a zone.")


class NoticeStateOut(serializers.Serializer):
    notice_status = serializers.ChoiceField(choices=Agent.Notice.choices)
    notice_received_at = serializers.DateTimeField(allow_null=True)
    notice_deadline = serializers.DateTimeField(allow_null=True)


class EmergencyDataOut(NoticeStateOut):
    emergency_replica = StandbyAlertOut(allow_null=True)
    actions = EmergencyActionOut(many=True)


class EmergencyEventOut(serializers.Serializer):
    timestamp = serializers.DateTimeField()
    type = serializers.ChoiceField(choices=InterruptionEpisode.Kind.choices)
    action_taken = serializers.ChoiceField(choices=InterruptionEpisode.Response.choices)
    outcome = serializers.ChoiceField(choices=InterruptionEpisode.Status.choices)


class EmergencyStatusOut(NoticeStateOut):
    status = serializers.ChoiceField(choices=["success"])
    agent_id = serializers.CharField()
    emergency_mode_active = serializers.BooleanField()
    rebalance_only_mode = serializers.BooleanField()
    ml_models_loaded = serializers.BooleanField()
    decision_engine_active = serializers.BooleanField()
    last_emergency_event = EmergencyEventOut(allow_null=True)
    emergency_replicas_count = serializers.IntegerField()
    termination_notices_24h = serializers.IntegerField()
    emergency_replica = StandbyBriefOut(allow_null=True)
    data = EmergencyDataOut()  # type: ignore[assignment]


class TimelineStepOut(serializers.Serializer):
    step = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True, help_text="Since the signal.")


class InterruptionOut(serializers.Serializer):
    id = serializers.CharField()
    agent_id = serializers.CharField()
    instance_id = serializers.CharField()
    kind = serializers.ChoiceField(choices=InterruptionEpisode.Kind.choices)
    status = serializers.ChoiceField(choices=InterruptionEpisode.Status.choices)
    response = serializers.ChoiceField(choices=InterruptionEpisode.Response.choices)
    is_drill = serializers.BooleanField()
    pool_id = serializers.CharField(allow_null=True)
    reports = serializers.IntegerField()
    deadline = serializers.DateTimeField(allow_null=True)
    before_deadline = serializers.BooleanField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    timeline = TimelineStepOut(many=True)


class PercentilesOut(serializers.Serializer):
    p50 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)


class FailoverFiguresOut(serializers.Serializer):
    notices = serializers.IntegerField()
    promoted = serializers.IntegerField()
    before_deadline = serializers.IntegerField()
    before_deadline_share = serializers.FloatField(allow_null=True, help_text="0 to 1.")
    notice_to_promoted_seconds = PercentilesOut()


class SignalQualityOut(serializers.Serializer):
    pool_id = serializers.CharField(allow_null=True)
    rebalance_recommendations = serializers.IntegerField()
    termination_notices = serializers.IntegerField()
    precision = serializers.FloatField(allow_null=True, help_text="Of the recommendations, those a notice followed.")
    recall = serializers.FloatField(allow_null=True, help_text="Of the notices, those a recommendation preceded.")


class InterruptionSummaryOut(serializers.Serializer):
    since = serializers.DateTimeField()
    failovers = FailoverFiguresOut()
    drills = FailoverFiguresOut()
    signals = SignalQualityOut(many=True)


# --- Standbys -------------------------------------------------------------------------------------------------------


class ReplicaConfigOut(serializers.Serializer):
    enabled = serializers.BooleanField()
    count = serializers.IntegerField()
    manual_replica_enabled = serializers.BooleanField()
    auto_create_replica = serializers.BooleanField()
    replica_sync_required = serializers.BooleanField()
    min_sync_percentage = serializers.IntegerField()
    preferred_replica_pools = serializers.ListField(child=serializers.CharField())


class ReplicaCostOut(serializers.Serializer):
    hourly = serializers.FloatField(allow_null=True)
    total = serializers.FloatField(allow_null=True, help_text="USD so far.")


class ReplicaOut(serializers.Serializer):
    id = serializers.CharField()
    instance_id = serializers.CharField(allow_null=True)
    instanceId = serializers.CharField(allow_null=True)
    parent_instance_id = serializers.CharField(allow_null=True)
    type = serializers.ChoiceField(choices=Replica.Type.choices)
    status = serializers.ChoiceField(choices=Replica.Status.choices)
    is_active = serializers.BooleanField()
    pool_id = serializers.CharField(allow_null=True)
    az = serializers.CharField(allow_null=True)
    pool = PoolPlaceOut(allow_null=True)
    sync_status = serializers.ChoiceField(choices=Replica.SyncStatus.choices)
    sync_latency_ms = serializers.IntegerField(allow_null=True)
    state_transfer_progress = serializers.FloatField(help_text="0 to 100.")
    cost = ReplicaCostOut()
    created_by = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)
    terminated_at = serializers.DateTimeField(allow_null=True)
    age_seconds = serializers.IntegerField()
    tags = serializers.DictField()


class ReplicasOut(serializers.Serializer):
    replicas = ReplicaOut(many=True)
    total = serializers.IntegerField()


class PrimaryOut(serializers.Serializer):
    instanceId = serializers.CharField(allow_null=True)
    instanceType = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    az = serializers.CharField(allow_null=True)
    mode = serializers.CharField()


class ReplicaPairOut(serializers.Serializer):
    agentId = serializers.CharField()
    primary = PrimaryOut()
    replica = ReplicaOut()


class ReplicaCreatedOut(SuccessOut):
    replica_id = serializers.CharField()
    instance_id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=Replica.Status.choices)
    pool = PoolPlaceOut(allow_null=True)
    hourly_cost = serializers.FloatField(allow_null=True)


class ReplicaBoundOut(serializers.Serializer):
    success = serializers.BooleanField()
    message = serializers.CharField(required=False)
    replica_id = serializers.CharField(required=False)
    instance_id = serializers.CharField(required=False)
    status = serializers.ChoiceField(choices=Replica.Status.choices)
    duplicate = serializers.BooleanField(required=False)


class ReplicaStatusOut(serializers.Serializer):
    success = serializers.BooleanField()
    replica_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Replica.Status.choices)


class ReplicaSyncedOut(SuccessOut):
    status = serializers.ChoiceField(choices=Replica.Status.choices)


class PromotedOut(SuccessOut):
    replica_id = serializers.CharField()
    new_instance_id = serializers.CharField()
    new_primary_id = serializers.CharField()
    old_instance_id = serializers.CharField(allow_null=True)
    demoted = serializers.BooleanField()
    switch_time = serializers.DateTimeField(allow_null=True)


class ReplicaDeletedOut(SuccessOut):
    replica_id = serializers.CharField()
    terminated_at = serializers.DateTimeField(allow_null=True)


# --- Orders ---------------------------------------------------------------------------------------------------------


class SwitchOrderedOut(SuccessOut):
    command_id = serializers.CharField()
    request_id = serializers.CharField()
    target_mode = serializers.CharField()
    target_pool_id = serializers.CharField(allow_null=True)
    status = serializers.CharField()


class LaunchOrderedOut(SuccessOut):
    instance_id = serializers.CharField(help_text="A temporary id until the agent reports the real one.")
    status = serializers.ChoiceField(choices=["launching"])
    command_id = serializers.CharField()
    request_id = serializers.CharField()


class TerminationOrderedOut(SuccessOut):
    instance_id = serializers.CharField()
    command_id = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    status = serializers.CharField()
