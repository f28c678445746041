"""Answers about decisions (dashboard-api 2.5)."""

from rest_framework import serializers

from agents.models import Agent
from decisions.models import DecisionRecord
from notifications.models import Severity
from spotopt.common.fields import Mode

DECISIONS = DecisionRecord.Type.choices


class ElapsedOut(serializers.Serializer):
    value = serializers.IntegerField()
    unit = serializers.ChoiceField(choices=["min", "h", "d"])
    minutes = serializers.IntegerField()
    formatted = serializers.CharField(help_text="Without the word ago.")


class LastDecisionOut(serializers.Serializer):
    """All null while nothing was decided."""

    type = serializers.ChoiceField(choices=DECISIONS, allow_null=True)
    time = serializers.DateTimeField(allow_null=True)
    elapsed = ElapsedOut(allow_null=True)


class PricingReportOut(serializers.Serializer):
    time = serializers.DateTimeField()
    onDemandPrice = serializers.FloatField(help_text="USD per hour, above 0.")
    spotPrice = serializers.FloatField(help_text="USD per hour.")


class PricingHealthOut(serializers.Serializer):
    status = serializers.ChoiceField(
        choices=["healthy", "unhealthy"], help_text="Healthy: online, and a report within 10 minutes."
    )
    recentReportsCount = serializers.IntegerField(help_text="Within 10 minutes.")
    recentReports = PricingReportOut(many=True, help_text="The last five that hold both prices, newest first.")


class DecisionOut(serializers.Serializer):
    type = serializers.ChoiceField(choices=DECISIONS)
    action = serializers.CharField(help_text="The engine's own word.")
    riskScore = serializers.FloatField(allow_null=True)
    expectedSavings = serializers.FloatField(allow_null=True, help_text="USD per hour.")
    currentMode = serializers.ChoiceField(choices=Mode.choices)
    time = serializers.DateTimeField()


class AgentEventOut(serializers.Serializer):
    type = serializers.CharField()
    severity = serializers.ChoiceField(choices=Severity.choices)
    message = serializers.CharField()
    time = serializers.DateTimeField()


class HealthStatusOut(serializers.Serializer):
    overall = serializers.CharField(help_text="As pricingHealth.status.")
    heartbeat = serializers.ChoiceField(choices=["healthy", "degraded", "critical"])
    activity = serializers.CharField(help_text="active: reports came in within 10 minutes; else inactive.")
    recentReportsCount = serializers.IntegerField()
    decisionCount = serializers.IntegerField(help_text="Of those listed in decisionHistory.")


class RecentActivityOut(serializers.Serializer):
    pricingReports = PricingReportOut(many=True)
    systemEvents = AgentEventOut(many=True)
    healthStatus = HealthStatusOut()


class AgentDecisionsOut(serializers.Serializer):
    agentId = serializers.CharField()
    agentName = serializers.CharField()
    status = serializers.ChoiceField(choices=Agent.Status.choices)
    currentMode = serializers.ChoiceField(choices=Mode.choices)
    currentPoolId = serializers.CharField(help_text="`n/a` on on-demand and while unknown.")
    isHealthy = serializers.BooleanField()
    lastHeartbeat = serializers.CharField(allow_null=True, help_text="How long ago, for people; null: never.")
    lastDecision = LastDecisionOut()
    pricingHealth = PricingHealthOut()
    decisionHistory = DecisionOut(many=True, help_text="The last five, newest first.")
    recentActivity = RecentActivityOut()
