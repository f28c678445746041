from rest_framework import serializers

from spotopt.common.fields import Mode


class InstanceMetricsOut(serializers.Serializer):
    """Money in USD, prices in USD per instance-hour."""

    id = serializers.CharField(help_text="EC2's id.")
    instanceType = serializers.CharField(allow_null=True)
    currentMode = serializers.ChoiceField(Mode.choices)
    currentPoolId = serializers.CharField(allow_null=True)
    uptimeHours = serializers.IntegerField(help_text="From its launch to now or to its end.")
    spotPrice = serializers.FloatField(help_text="The quote of its pool, else of the cheapest one; 0 while unknown.")
    spotPriceKnown = serializers.BooleanField()
    onDemandPrice = serializers.FloatField(help_text="0 while it is not known.")
    onDemandPriceKnown = serializers.BooleanField()
    baselineOnDemandPrice = serializers.FloatField(allow_null=True)
    totalSavings = serializers.FloatField(help_text="What on-demand would have cost less what was paid; signed.")
    savingsLast30Days = serializers.FloatField()
    priceCoverage = serializers.FloatField(allow_null=True, help_text="Share of its time with known prices, 0 to 1.")
    totalSwitches = serializers.IntegerField(help_text="Of its agent.")
    switchesLast7Days = serializers.IntegerField()
    switchesLast30Days = serializers.IntegerField()
    hoursSinceLastSwitch = serializers.FloatField(allow_null=True)
