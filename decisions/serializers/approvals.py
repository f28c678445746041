"""Bodies and answers around decision modes, moves that wait for a person, and shadows."""

from rest_framework import serializers

from decisions.models import Recommendation
from spotopt.common.bodies import JsonBody
from spotopt.common.fields import DecisionMode, Mode


class RejectIn(JsonBody):
    note = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=1000)


class DecisionModeIn(JsonBody):
    decision_mode = serializers.ChoiceField(choices=DecisionMode.choices)


class WaitingMoveOut(serializers.Serializer):
    id = serializers.CharField()
    client_id = serializers.CharField()
    agent_id = serializers.CharField()
    agent_name = serializers.CharField()
    status = serializers.ChoiceField(choices=Recommendation.Status.choices)
    current_mode = serializers.ChoiceField(choices=Mode.choices)
    current_pool_id = serializers.CharField(allow_null=True)
    target_mode = serializers.ChoiceField(choices=Mode.choices)
    target_pool_id = serializers.CharField(allow_null=True)
    expected_savings = serializers.FloatField(allow_null=True, help_text="USD per hour, risk counted; null: unknown.")
    reason = serializers.CharField(allow_blank=True)
    decision_id = serializers.CharField(help_text="Of the decision record that explains it.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="At the latest; sooner when it is no longer current.")
    decided_at = serializers.DateTimeField(allow_null=True, help_text="Or when it expired.")
    decided_by = serializers.CharField(allow_null=True)
    note = serializers.CharField(allow_null=True, help_text="Why it was rejected, or expired.")
    command_id = serializers.CharField(allow_null=True, help_text="The order, once approved.")


class AgentModeOut(serializers.Serializer):
    agent_id = serializers.CharField()
    agent_name = serializers.CharField()
    decision_mode = serializers.ChoiceField(
        choices=DecisionMode.choices, allow_null=True, help_text="Its own; null: the client's."
    )
    auto_switch_enabled = serializers.BooleanField()
    acting_mode = serializers.ChoiceField(
        choices=DecisionMode.choices, help_text="What becomes of decisions now: recommend while auto-switch is off."
    )


class DecisionModesOut(serializers.Serializer):
    client_id = serializers.CharField()
    decision_mode = serializers.ChoiceField(choices=DecisionMode.choices)
    agents = AgentModeOut(many=True)


class BillsOut(serializers.Serializer):
    hours = serializers.FloatField(help_text="In which both, workload and shadow, ran.")
    priced_hours = serializers.FloatField(help_text="Of these: the prices of both are known. Money is theirs alone.")
    real_usd = serializers.FloatField(allow_null=True, help_text="null: no priced hours.")
    shadow_usd = serializers.FloatField(allow_null=True, help_text="The same hours, had every decision been followed.")
    would_have_saved_usd = serializers.FloatField(allow_null=True, help_text="real − shadow; may be negative.")


class AgentShadowOut(BillsOut):
    agent_id = serializers.CharField()
    agent_name = serializers.CharField()
    acting_mode = serializers.ChoiceField(choices=DecisionMode.choices)
    current_mode = serializers.ChoiceField(choices=Mode.choices)
    current_pool_id = serializers.CharField(allow_null=True)
    shadow_mode = serializers.ChoiceField(choices=Mode.choices, help_text="Where the workload would be.")
    shadow_pool_id = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField(help_text="When the agent left auto mode, the last time.")
    ended_at = serializers.DateTimeField(allow_null=True, help_text="When it was back in auto mode.")


class ShadowSavingsOut(BillsOut):
    client_id = serializers.CharField()
    days = serializers.IntegerField()
    from_day = serializers.DateField()
    agents = AgentShadowOut(many=True)
