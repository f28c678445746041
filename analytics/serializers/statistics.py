"""How an agent has done (agent-api 3.31); null where nothing was measured."""

from rest_framework import serializers


class DecisionsByTriggerOut(serializers.Serializer):
    automatic = serializers.IntegerField()
    manual = serializers.IntegerField()
    emergency = serializers.IntegerField()


class StatisticsOut(serializers.Serializer):
    total_decisions = serializers.IntegerField()
    switches_executed = serializers.IntegerField()
    switches_recommended = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True, help_text="0 to 1.")
    average_confidence = serializers.FloatField(allow_null=True, help_text="0 to 1.")
    last_decision_at = serializers.DateTimeField(allow_null=True)
    decisions_by_trigger = DecisionsByTriggerOut()
    avg_downtime_seconds = serializers.IntegerField(allow_null=True)
    total_savings_generated = serializers.FloatField(help_text="USD.")
    price_coverage = serializers.FloatField(allow_null=True, help_text="0 to 1: the part of the time with prices.")


class AgentStatisticsOut(serializers.Serializer):
    agent_id = serializers.CharField()
    statistics = StatisticsOut()
