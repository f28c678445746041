"""Answers about clients and the whole fleet (dashboard-api 2.2, 2.4)."""

from rest_framework import serializers

SAVINGS = "USD, lifetime: what on-demand would have cost − what was paid. May be negative."


class StatsOut(serializers.Serializer):
    totalAccounts = serializers.IntegerField()
    agentsOnline = serializers.IntegerField()
    agentsTotal = serializers.IntegerField(help_text="Without deleted ones.")
    poolsCovered = serializers.IntegerField(help_text="Active spot pools.")
    totalSavings = serializers.FloatField(help_text=SAVINGS)
    totalSwitches = serializers.IntegerField(help_text="All that were recorded, emergencies included.")
    manualSwitches = serializers.IntegerField()
    modelSwitches = serializers.IntegerField(help_text="Decided by the server.")
    backendHealth = serializers.CharField()
    decisionEngineLoaded = serializers.BooleanField()
    mlModelsLoaded = serializers.BooleanField()


class ClientRowOut(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=["active", "inactive"], help_text="Whether the token lets anybody in.")
    instances = serializers.IntegerField(help_text="Active ones.")
    agentsOnline = serializers.IntegerField()
    agentsTotal = serializers.IntegerField(help_text="Without deleted ones.")
    totalSavings = serializers.FloatField(help_text=SAVINGS)
    lastSync = serializers.DateTimeField(allow_null=True, help_text="Last heartbeat of any agent.")
    email = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()


class ClientDetailsOut(ClientRowOut):
    agentsOffline = serializers.IntegerField()
    instancesTerminated = serializers.IntegerField(help_text="On their way out, or gone.")


class GrowthOut(serializers.Serializer):
    """A UTC day."""

    date = serializers.DateField()
    count = serializers.IntegerField(help_text="The same as total.")
    total = serializers.IntegerField(help_text="Clients at the end of the day.")
    new = serializers.IntegerField(help_text="Created that day.")
    active = serializers.IntegerField(help_text="Of the total, those that were not deactivated by then.")
