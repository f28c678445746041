"""Decisions about one agent (agent-api 3.28–3.30). Savings: USD per hour; risk: probability of a reclaim in 24 h."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.models import Command
from instances.serializers.orders import with_aliases
from instances.services.orders import Target
from spotopt.common.errors import Invalid
from spotopt.common.fields import Mode
from spotopt.common.wire import clean_mode, clean_number


class DecideOut(serializers.Serializer):
    action = serializers.ChoiceField(choices=["STAY", "SWITCH"])
    confidence = serializers.FloatField(help_text="0: the built-in engine has no such figure.")
    reasoning = serializers.CharField()
    reason = serializers.CharField()
    allowed = serializers.BooleanField(help_text="It will be ordered: auto-switch is on and no limit forbids it.")
    decision_type = serializers.ChoiceField(choices=["stay", "switch_spot", "switch_ondemand"])
    recommended_action = serializers.ChoiceField(choices=["stay", "switch"])
    recommended_mode = serializers.ChoiceField(choices=["spot", "ondemand"])
    recommended_pool_id = serializers.CharField(allow_null=True)
    target_pool_id = serializers.CharField(allow_null=True)
    risk_score = serializers.FloatField()
    expected_savings_per_hour = serializers.FloatField()
    instance_id = serializers.CharField(allow_null=True)
    agent_id = serializers.CharField()


class _PoolOut(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    az = serializers.CharField()


class _PricedPoolOut(_PoolOut):
    spot_price = serializers.FloatField()


class RecommendationOut(serializers.Serializer):
    agent_id = serializers.CharField()
    decision_type = serializers.CharField(help_text="stay_spot, stay_ondemand, switch_to_spot or switch_to_ondemand.")
    recommendation = serializers.CharField()
    recommended_pool_id = serializers.CharField(allow_null=True)
    target_pool = serializers.CharField(allow_null=True)
    target_type = serializers.CharField(allow_null=True)
    risk_score = serializers.FloatField(allow_null=True)
    expected_savings = serializers.FloatField(allow_null=True)
    savings_impact = serializers.FloatField(allow_null=True)
    confidence = serializers.FloatField(allow_null=True)
    reason = serializers.CharField()
    auto_switch_enabled = serializers.BooleanField()
    will_auto_execute = serializers.BooleanField()
    current_pool = _PoolOut(allow_null=True)
    alternative_pools = _PricedPoolOut(many=True)
    features_used = serializers.ListField(child=serializers.CharField())


@extend_schema_serializer(
    examples=[OpenApiExample("To a pool", value={"target_mode": "spot", "target_pool_id": "t3.medium.us-east-1b"})]
)
class IssueSwitchIn(serializers.Serializer):
    target_mode = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=32)
    target_pool_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=128)
    reason = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=255)
    priority = serializers.JSONField(required=False, help_text="1 to 100; what lies outside is clamped.")

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(with_aliases(data, target_pool_id=("target_pool", "pool_id")))

    def target_of(self) -> Target:
        pool_id, word = self.validated_data.get("target_pool_id") or "", self.validated_data.get("target_mode") or ""
        mode = clean_mode(word) if word else (Mode.SPOT if pool_id else Mode.UNKNOWN)
        if mode == Mode.UNKNOWN:
            raise Invalid("Validation failed", details={"target_mode": ["Use spot or ondemand."]})
        if mode == Mode.SPOT and not pool_id:
            raise Invalid("Validation failed", details={"target_pool_id": ["A pool is required for spot."]})
        return Target(mode, pool_id if mode == Mode.SPOT else "")

    @property
    def priority_of(self) -> int:
        number = clean_number(self.validated_data.get("priority"))
        return Command.Priority.NORMAL.value if number is None else min(max(int(number), 1), 100)


class IssuedOut(serializers.Serializer):
    success = serializers.BooleanField()
    message = serializers.CharField()
    agent_id = serializers.CharField()
    command_id = serializers.CharField(allow_null=True)
    duplicate = serializers.BooleanField()
    target_mode = serializers.CharField()
    target_pool_id = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    auto_switch_enabled = serializers.BooleanField()
    current_mode = serializers.CharField()
    current_pool_id = serializers.CharField(allow_null=True)
