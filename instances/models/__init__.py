from instances.models.instance import Instance, InstanceAlias, UsageInterval
from instances.models.interruption import InterruptionEpisode, LaunchFailure
from instances.models.market import OnDemandPrice, OnDemandPriceHistory, Pool, SpotPriceHistory
from instances.models.replica import Replica
from instances.models.switch import Switch

__all__ = [
    "Instance",
    "InstanceAlias",
    "InterruptionEpisode",
    "LaunchFailure",
    "OnDemandPrice",
    "OnDemandPriceHistory",
    "Pool",
    "Replica",
    "SpotPriceHistory",
    "Switch",
    "UsageInterval",
]
