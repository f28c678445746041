"""Answers about instances and their market (dashboard-api 2.2, 2.4, 2.6). Prices are USD per instance-hour."""

from typing import Any

from rest_framework import serializers

from agents.models import Agent
from instances.models import Instance
from instances.selectors.volatility import CATEGORIES, NO_DATA, STABILITIES
from instances.serializers.orders import with_aliases
from spotopt.common.bodies import JsonBody
from spotopt.common.errors import Invalid
from spotopt.common.fields import Mode
from spotopt.common.wire import clean_mode

CATEGORY_WORDS = [*(word for _, word in CATEGORIES), NO_DATA]
STABILITY_WORDS = [*(word for _, word in STABILITIES), NO_DATA]
RISK_WORDS = ["low", "medium", "high", NO_DATA]
RECOMMENDATIONS = ["strongly_recommended", "recommended", "neutral", "not_recommended"]


class SimulationIn(JsonBody):
    target_type = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=32, help_text="spot (default) or ondemand."
    )
    target_pool = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=128, help_text="Needed for spot."
    )

    def to_internal_value(self, data: Any) -> Any:
        aliases = {"target_type": ("target", "target_mode"), "target_pool": ("pool_id", "target_pool_id")}
        return super().to_internal_value(with_aliases(data, **aliases))

    def target(self) -> tuple[str, str]:
        """(mode, pool id); the pool id is empty for on-demand."""
        word = (self.validated_data.get("target_type") or Mode.SPOT).lower()
        mode = Mode.SPOT if word == "pool" else clean_mode(word)
        if mode == Mode.UNKNOWN:
            raise Invalid("Validation failed", details={"target_type": ["Use spot or ondemand."]})
        pool_id = self.validated_data.get("target_pool") or ""
        if mode == Mode.SPOT and not pool_id:
            raise Invalid("Validation failed", details={"target_pool": ["A pool is required for spot."]})
        return mode, pool_id if mode == Mode.SPOT else ""


class AdminInstanceOut(serializers.Serializer):
    id = serializers.CharField(help_text="EC2's id.")
    instanceId = serializers.CharField(help_text="The same as `id`.")
    clientId = serializers.CharField()
    clientName = serializers.CharField()
    instanceType = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    az = serializers.CharField(allow_null=True)
    currentMode = serializers.ChoiceField(Mode.choices)
    currentPoolId = serializers.CharField(allow_null=True)
    spotPrice = serializers.FloatField(allow_null=True, help_text="What is paid per hour, on on-demand as well.")
    ondemandPrice = serializers.FloatField(allow_null=True)
    onDemandPrice = serializers.FloatField(allow_null=True, help_text="The same as `ondemandPrice`.")
    currentPrice = serializers.FloatField(allow_null=True, help_text="The same as `spotPrice`.")
    marketSpotPrice = serializers.FloatField(allow_null=True, help_text="The quote of its pool.")
    instanceStatus = serializers.ChoiceField(Instance.Status.choices)
    isPrimary = serializers.BooleanField()
    isActive = serializers.BooleanField()
    agentId = serializers.CharField(allow_null=True)
    logicalAgentId = serializers.CharField(allow_null=True)
    agentStatus = serializers.ChoiceField(Agent.Status.choices, allow_null=True)
    installedAt = serializers.DateTimeField(allow_null=True)
    createdAt = serializers.DateTimeField()


class AdminInstanceFiltersOut(serializers.Serializer):
    status = serializers.CharField(allow_null=True)
    mode = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    client_id = serializers.CharField(allow_null=True)
    search = serializers.CharField(allow_null=True)


class AdminInstancesOut(serializers.Serializer):
    instances = AdminInstanceOut(many=True)
    total = serializers.IntegerField(help_text="Of all that match, whatever `limit` says.")
    totalIsExact = serializers.BooleanField(help_text="False: there are at least so many; counting stopped there.")
    filters = AdminInstanceFiltersOut(help_text="What was filtered by; null where nothing was.")


class ClientInstanceOut(serializers.Serializer):
    id = serializers.CharField(help_text="EC2's id.")
    type = serializers.CharField(allow_null=True)
    instanceType = serializers.CharField(allow_null=True, help_text="The same as `type`.")
    az = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    mode = serializers.ChoiceField(Mode.choices)
    poolId = serializers.CharField(help_text="`n/a` when there is none.")
    spotPrice = serializers.FloatField(allow_null=True, help_text="What is paid per hour, on on-demand as well.")
    onDemandPrice = serializers.FloatField(allow_null=True, help_text="Null also while `spotPrice` is.")
    currentPrice = serializers.FloatField(allow_null=True, help_text="The same as `spotPrice`.")
    marketSpotPrice = serializers.FloatField(allow_null=True, help_text="The quote of its pool.")
    instanceStatus = serializers.ChoiceField(Instance.Status.choices)
    isPrimary = serializers.BooleanField()
    isActive = serializers.BooleanField()
    lastSwitch = serializers.DateTimeField(allow_null=True)
    agentId = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()
    terminatedAt = serializers.DateTimeField(allow_null=True)
    launchDurationSeconds = serializers.IntegerField(allow_null=True)


class PoolOut(serializers.Serializer):
    id = serializers.CharField(help_text="`<instance type>.<availability zone>`.")
    name = serializers.CharField()
    az = serializers.CharField()


class PricedPoolOut(PoolOut):
    price = serializers.FloatField()
    savings = serializers.FloatField(help_text="Percent below on-demand; 0 while that price is unknown.")
    capturedAt = serializers.DateTimeField(help_text="When an agent last saw this price.")
    stale = serializers.BooleanField(help_text="That is more than an hour ago.")


class OnDemandOut(serializers.Serializer):
    name = serializers.CharField()
    price = serializers.FloatField(help_text="0 while it is not known.")
    known = serializers.BooleanField()


class PricingOut(serializers.Serializer):
    currentMode = serializers.ChoiceField(Mode.choices)
    currentPool = PoolOut(allow_null=True)
    onDemand = OnDemandOut()
    pools = PricedPoolOut(many=True, help_text="Cheapest first.")
    unpricedPools = PoolOut(many=True, help_text="Without a quote of the last 24 hours.")


class ChartPoolOut(PoolOut):
    key = serializers.CharField(help_text="Of its values in the rows.")


class PriceHistoryOut(serializers.Serializer):
    data = serializers.ListField(  # type: ignore[assignment] # the name is the contract's
        child=serializers.DictField(),
        help_text="Oldest first: `time` (`YYYY-MM-DD HH:00` or `YYYY-MM-DD`, UTC), `onDemand` and the key of each pool "
        "with its time-weighted mean, null where it is not known.",
    )
    pools = ChartPoolOut(many=True)
    onDemandPrice = serializers.FloatField(allow_null=True, help_text="Now.")


class AvailablePoolOut(serializers.Serializer):
    id = serializers.CharField()
    az = serializers.CharField()
    instanceType = serializers.CharField()
    price = serializers.FloatField(allow_null=True)


class OptionsOut(serializers.Serializer):
    currentType = serializers.CharField(allow_null=True)
    currentRegion = serializers.CharField(allow_null=True)
    currentAz = serializers.CharField(allow_null=True)
    currentPool = serializers.CharField(allow_null=True)
    availablePools = AvailablePoolOut(many=True, help_text="Of the same type and region; cheapest first.")
    availableTypes = serializers.ListField(child=serializers.CharField(), help_text="Of the same family.")
    pools = AvailablePoolOut(many=True, help_text="The same as `availablePools`.")
    instanceTypes = serializers.ListField(child=serializers.CharField(), help_text="The same as `availableTypes`.")


class LogEntryOut(serializers.Serializer):
    timestamp = serializers.DateTimeField()
    event_type = serializers.CharField()
    message = serializers.CharField()
    severity = serializers.ChoiceField(["info", "success", "warning", "error"])
    metadata = serializers.DictField()


class PoolVolatilityOut(serializers.Serializer):
    pool_id = serializers.CharField()
    current_price = serializers.FloatField(allow_null=True)
    volatility_score = serializers.FloatField(allow_null=True, help_text="Standard deviation over 24 hours, in USD.")
    volatility_category = serializers.ChoiceField(CATEGORY_WORDS)
    interruption_rate_24h = serializers.FloatField(
        allow_null=True, help_text="Interruptions per instance-day over 24 hours; null where nothing ran."
    )
    price_stability_7d = serializers.ChoiceField(STABILITY_WORDS)


class AlternativePoolOut(PoolVolatilityOut):
    recommendation = serializers.ChoiceField(["best"], allow_null=True)


class VolatilityOut(serializers.Serializer):
    current_pool = PoolVolatilityOut(allow_null=True, help_text="Null on on-demand.")
    alternative_pools = AlternativePoolOut(many=True, help_text="Cheapest first.")


class SimulatedOut(serializers.Serializer):
    current_price = serializers.FloatField(allow_null=True, help_text="What is paid now.")
    target_price = serializers.FloatField()
    hourly_savings = serializers.FloatField(allow_null=True)
    daily_savings = serializers.FloatField(allow_null=True)
    monthly_savings = serializers.FloatField(allow_null=True, help_text="Of 30 days.")
    estimated_downtime_seconds = serializers.IntegerField(
        allow_null=True, help_text="Mean of what the client's moves took; null while none was measured."
    )
    confidence = serializers.FloatField(allow_null=True, help_text="Of a model; null without one.")
    volatility_risk = serializers.ChoiceField(RISK_WORDS, help_text="Of the target's price over 24 hours.")
    interruption_probability_24h = serializers.FloatField(allow_null=True, help_text="Of a model; null without one.")
    recommendation = serializers.ChoiceField(RECOMMENDATIONS, allow_null=True)
    target_mode = serializers.ChoiceField([Mode.SPOT.value, Mode.ONDEMAND.value])
    target_pool_id = serializers.CharField(allow_null=True)


class SimulationOut(serializers.Serializer):
    simulation = SimulatedOut()


class PoolPriceOut(serializers.Serializer):
    pool_id = serializers.CharField()
    az = serializers.CharField()
    price = serializers.FloatField(allow_null=True)


class PricingBucketOut(serializers.Serializer):
    timestamp = serializers.CharField(help_text="`YYYY-MM-DD HH:00:00` or `YYYY-MM-DD`, UTC.")
    ondemand_price = serializers.FloatField(allow_null=True)
    spot_pools = PoolPriceOut(many=True)


class PricingHistoryOut(serializers.Serializer):
    history = PricingBucketOut(many=True, help_text="Oldest first; time-weighted means.")
    days = serializers.IntegerField()
    data_points = serializers.IntegerField(help_text="Rows of `history`.")
    agent_id = serializers.CharField(allow_null=True)
    instance_type = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)


class RegionPoolsOut(serializers.Serializer):
    region = serializers.CharField()
    pools = serializers.IntegerField()
    average_price = serializers.FloatField(allow_null=True)
    cheapest_price = serializers.FloatField(allow_null=True)


class TypePoolsOut(serializers.Serializer):
    instance_type = serializers.CharField()
    pools_available = serializers.IntegerField()
    avg_spot_price = serializers.FloatField(allow_null=True)
    ondemand_price = serializers.FloatField(allow_null=True, help_text="Mean over its pools.")


class PoolStatisticsOut(serializers.Serializer):
    total_pools = serializers.IntegerField()
    active_pools = serializers.IntegerField()
    inactive_pools = serializers.IntegerField()
    total = serializers.IntegerField(help_text="The same as `total_pools`.")
    active = serializers.IntegerField(help_text="The same as `active_pools`.")
    regions = RegionPoolsOut(many=True, help_text="Active pools, by average price.")
    instance_types = TypePoolsOut(many=True, help_text="Active pools, by average price.")
