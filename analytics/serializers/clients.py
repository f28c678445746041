"""Answers about a client's money and moves (dashboard-api 2.4)."""

from rest_framework import serializers

from instances.models import Switch
from spotopt.common.fields import Mode


class SavingsOut(serializers.Serializer):
    name = serializers.CharField(help_text="`November`, `2025-11-30`, `2025-W48` or `2025`.")
    savings = serializers.FloatField(help_text="onDemandCost − modelCost; may be negative.")
    onDemandCost = serializers.FloatField(help_text="USD that on-demand would have cost.")
    modelCost = serializers.FloatField(help_text="USD paid.")
    year = serializers.IntegerField()
    month = serializers.IntegerField(allow_null=True, help_text="Of months and days.")
    periodStart = serializers.DateField()
    priceCoverage = serializers.FloatField(
        allow_null=True, help_text="Share of the time used whose prices are known, 0–1; null: nothing ran."
    )


class TrendOut(serializers.Serializer):
    month = serializers.CharField()
    baseline = serializers.FloatField(help_text="USD that on-demand would have cost.")
    actual = serializers.FloatField(help_text="USD paid.")
    savings = serializers.FloatField()


class ModeCountOut(serializers.Serializer):
    mode = serializers.ChoiceField(choices=Mode.choices)
    name = serializers.CharField(help_text="The same, for the legend.")
    count = serializers.IntegerField(help_text="Active instances.")


class FrequencyOut(serializers.Serializer):
    date = serializers.DateField()
    switches = serializers.IntegerField()


class ChartsOut(serializers.Serializer):
    savingsTrend = TrendOut(many=True, help_text="Up to 12 months, oldest first.")
    modeDistribution = ModeCountOut(many=True)
    switchFrequency = FrequencyOut(many=True, help_text="The last 30 days, oldest first.")


class SwitchOut(serializers.Serializer):
    id = serializers.CharField()
    timestamp = serializers.DateTimeField(help_text="As agents report it; the list is in the order of recording.")
    instanceId = serializers.CharField(help_text="The new one, else the old one.")
    oldInstanceId = serializers.CharField(allow_null=True)
    newInstanceId = serializers.CharField(allow_null=True)
    fromMode = serializers.ChoiceField(choices=Mode.choices)
    toMode = serializers.ChoiceField(choices=Mode.choices)
    fromPool = serializers.CharField(help_text="`n/a` where there is none.")
    toPool = serializers.CharField(help_text="`n/a` where there is none.")
    trigger = serializers.ChoiceField(choices=Switch.Trigger.choices)
    price = serializers.FloatField(help_text="USD per hour paid afterwards; 0 where unknown.")
    savingsImpact = serializers.FloatField(help_text="USD per hour: price paid before − after; 0 where unknown.")
    savingsImpactKnown = serializers.BooleanField()
    agentId = serializers.CharField()
    downtimeSeconds = serializers.IntegerField(allow_null=True, help_text="Null: not measured.")
    success = serializers.BooleanField()
    initiatedAt = serializers.DateTimeField(allow_null=True)


class LongestDowntimeOut(serializers.Serializer):
    switch_id = serializers.CharField()
    downtime_seconds = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    reason = serializers.CharField(help_text="The trigger.")


class TriggerDowntimeOut(serializers.Serializer):
    total_seconds = serializers.IntegerField()
    average_seconds = serializers.FloatField()
    count = serializers.IntegerField()


class DowntimeKeysOut(serializers.Serializer):
    total_downtime_seconds = serializers.IntegerField()
    average_downtime_per_switch = serializers.FloatField(allow_null=True, help_text="Null: none was measured.")
    switches_with_downtime = serializers.IntegerField(help_text="Measured, more than 0 s.")
    switches_without_downtime = serializers.IntegerField(help_text="Measured, 0 s.")
    downtime_by_trigger = serializers.DictField(child=TriggerDowntimeOut())
    longest_downtime = LongestDowntimeOut(allow_null=True)


class DowntimeDataOut(DowntimeKeysOut):
    total_switches = serializers.IntegerField()
    successful_switches = serializers.IntegerField()
    failed_switches = serializers.IntegerField()
    avg_downtime_seconds = serializers.FloatField(allow_null=True)
    p95_downtime_seconds = serializers.IntegerField(allow_null=True)
    min_downtime_seconds = serializers.IntegerField(allow_null=True)
    max_downtime_seconds = serializers.IntegerField(allow_null=True)
    trend = serializers.FloatField(
        allow_null=True, help_text="Percent the average changed against the window before; positive is worse."
    )


class DowntimeOut(DowntimeKeysOut):
    status = serializers.ChoiceField(choices=["success"])
    error = serializers.CharField(allow_null=True, help_text="Always null.")
    data = DowntimeDataOut()  # type: ignore[assignment]  # a field named like a property of the class
