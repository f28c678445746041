"""Bodies of the orders that people and scripts give (dashboard-api 2.6)."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from instances.services.orders import Target
from spotopt.common.bodies import JsonBody
from spotopt.common.errors import Invalid
from spotopt.common.fields import Mode
from spotopt.common.wire import clean_mode


@extend_schema_serializer(
    examples=[OpenApiExample("To a spot pool", value={"target": "pool", "pool_id": "t3.medium.us-east-1b"})]
)
class ForceSwitchIn(JsonBody):
    target = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=32)
    pool_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=128)
    new_instance_type = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=50)
    auto_terminate = serializers.BooleanField(required=False, allow_null=True)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(with_aliases(data, target=("target_type",), pool_id=_POOL_NAMES))

    def target_of(self) -> Target:
        """`pool`, and a pool without a target, mean spot."""
        body = self.validated_data
        pool_id, word = body.get("pool_id") or "", (body.get("target") or "").lower()
        if word == "pool" and not pool_id:
            raise Invalid("Validation failed", details={"pool_id": ["A pool is required for this target."]})
        mode = Mode.SPOT if word == "pool" or (not word and pool_id) else clean_mode(word)
        if mode == Mode.UNKNOWN:
            raise Invalid("Validation failed", details={"target": ["Use ondemand, spot or pool."]})
        pool_id = pool_id if mode == Mode.SPOT else ""
        return Target(mode, pool_id, instance_type=body.get("new_instance_type") or "")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A standby",
            value={
                "agent_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                "instance_type": "t3.medium",
                "target_mode": "spot",
            },
        )
    ]
)
class LaunchIn(JsonBody):
    agent_id = serializers.CharField(max_length=64)
    instance_type = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=50)
    target_mode = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=32)
    target_pool_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=128)
    az = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=48)
    role_hint = serializers.ChoiceField(choices=["replica", "primary"], default="replica")

    def to_internal_value(self, data: Any) -> Any:
        aliases = {"target_pool_id": ("pool_id", "target_pool"), "target_mode": ("target_type", "target")}
        return super().to_internal_value(with_aliases(data, az=("availability_zone",), **aliases))

    def validate_target_mode(self, value: str | None) -> Mode:
        mode = clean_mode(value or Mode.SPOT)
        if mode == Mode.UNKNOWN:
            raise serializers.ValidationError("Use spot or ondemand.")
        return mode

    def target_of(self) -> Target:
        body = self.validated_data
        mode = body.get("target_mode", Mode.SPOT)
        pool_id = (body.get("target_pool_id") or "") if mode == Mode.SPOT else ""
        return Target(mode, pool_id, instance_type=body.get("instance_type") or "")


_POOL_NAMES = ("target_pool", "target_pool_id")


def with_aliases(data: Any, **aliases: tuple[str, ...]) -> Any:
    if not isinstance(data, dict):
        return data
    found = {
        name: next((data[other] for other in others if data.get(other)), None)
        for name, others in aliases.items()
        if not data.get(name)
    }
    return data | {name: value for name, value in found.items() if value is not None}
