"""Notices, emergencies and standbys, as agents and the dashboard send them (agent-api 3.14–3.26)."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from instances.models import InterruptionEpisode, Replica
from spotopt.common import wire
from spotopt.common.bodies import JsonBody
from spotopt.common.errors import Invalid

Kind, Type, Status, Sync = InterruptionEpisode.Kind, Replica.Type, Replica.Status, Replica.SyncStatus


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Agent v4", value={"instance_id": "i-0123456789abcdef0", "termination_time": "2026-01-05T10:02:00Z"}
        )
    ]
)
class NoticeIn(wire.WireSerializer):
    """3.14 and 3.16; `is_termination` tells v4-b's and v5's misplaced termination notices (3.14 table)."""

    instance_id = wire.Identifier()
    notice_type = wire.Text(max_length=32)
    termination_time = wire.WireTime()
    replica_id = wire.Identifier()
    immediate = wire.WireBool(default=False)
    aliases = {"instance_id": ("cloud_instance_id",), "termination_time": ("notice_time",)}

    def parse(self, data: Any) -> dict[str, Any]:
        body = super().parse(data)
        return body | {"is_termination": body["immediate"] or body["notice_type"].upper() == "TERMINATION"}


@extend_schema_serializer(
    examples=[
        OpenApiExample("Agent v4", value={"signal_type": "termination-notice", "instance_id": "i-0123456789abcdef0"})
    ]
)
class EmergencyIn(wire.WireSerializer):
    """3.15."""

    signal_type = wire.Text(max_length=32)
    instance_id = wire.Identifier()
    termination_time = wire.WireTime()
    pool_id = wire.Text(max_length=128)
    preferred_zones = wire.WireList(child=wire.Text(max_length=48))
    exclude_zones = wire.WireList(child=wire.Text(max_length=48))
    aliases = {"signal_type": ("reason",), "termination_time": ("notice_time",)}
    needed = {"signal_type": tuple(Kind.values)}

    def parse(self, data: Any) -> dict[str, Any]:
        """Raises Invalid for a signal that is none of the two."""
        body = super().parse(data)
        kind = body.pop("signal_type").lower().replace("_", "-")
        if kind not in Kind.values:
            raise Invalid("Validation failed", details={"signal_type": [f"Use one of: {', '.join(Kind.values)}."]})
        return body | {"kind": kind}


class LaunchedReplicaIn(wire.WireSerializer):
    """3.21, v4's form: "I have launched it"."""

    instance_id = wire.Identifier()
    replica_type = wire.Text(max_length=32)
    parent_instance_id = wire.Identifier()
    pool_id = wire.Text(max_length=128)
    status = wire.Text(max_length=16)


class WantedReplicaIn(JsonBody):
    """3.21, the dashboard's form: "please create"."""

    pool_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=128)
    exclude_zones = serializers.ListField(child=serializers.CharField(max_length=48), required=False, max_length=50)
    max_hourly_cost = serializers.FloatField(
        required=False, allow_null=True, min_value=0, max_value=float(wire.MAX_PRICE)
    )
    tags = serializers.DictField(required=False)
    created_by = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=64)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("pool_id") and data.get("target_pool"):
            data = data | {"pool_id": data["target_pool"]}
        return super().to_internal_value(data)


class ReplicaIn(WantedReplicaIn):
    """For the documentation: both forms on one path."""

    instance_id = serializers.CharField(
        required=False, help_text="An agent has launched this one: `i-…`. With it the other fields are not checked."
    )
    replica_type = serializers.CharField(required=False, help_text="Goes with `instance_id`.")
    parent_instance_id = serializers.CharField(required=False, help_text="Goes with `instance_id`.")
    status = serializers.CharField(required=False, help_text="Goes with `instance_id`.")


class BindIn(wire.WireSerializer):
    instance_id = wire.Identifier()
    status = wire.Text(max_length=16)
    needed = {"instance_id": ()}


class ReplicaStatusIn(wire.WireSerializer):
    """3.25."""

    status = wire.Text(max_length=16)
    error_message = wire.Text(max_length=2000)
    terminated_at = wire.WireTime()
    aliases = {"error_message": ("message", "error")}
    needed = {"status": ("launching", "syncing", "ready", "failed", "error", "terminated")}

    def parse(self, data: Any) -> dict[str, Any]:
        body = super().parse(data)
        status = {"error": Status.FAILED}.get(body["status"].lower(), body["status"].lower())
        allowed = (Status.LAUNCHING, Status.SYNCING, Status.READY, Status.FAILED, Status.TERMINATED)
        if status not in allowed:
            raise Invalid("Validation failed", details={"status": [f"Use one of: {', '.join(allowed)}."]})
        return body | {"status": status}


class SyncIn(JsonBody):
    """3.26."""

    sync_status = serializers.ChoiceField(choices=Sync.choices, required=False)
    sync_latency_ms = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2**31 - 1)
    state_transfer_progress = serializers.FloatField(required=False, min_value=0, max_value=100)
    status = serializers.ChoiceField(choices=[Status.SYNCING, Status.READY], required=False)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            names = {"sync_status": "sync_state", "state_transfer_progress": "sync_progress"}
            data = data | {name: data[old] for name, old in names.items() if name not in data and old in data}
        return super().to_internal_value(data)


@extend_schema_serializer(examples=[OpenApiExample("Keep the old one", value={"demote_old_primary": True})])
class PromoteIn(JsonBody):
    demote_old_primary = serializers.BooleanField(default=False)
    wait_for_sync = serializers.BooleanField(default=True)
