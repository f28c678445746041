"""The simulator's own account of the savings, by the definition of dashboard-api 5.3.

baseline = on-demand price x the time a workload was served; paid = EC2's bill for every instance, whatever it did.
It knows nothing of the server's ledger.
"""

from dataclasses import dataclass

from spotopt.simulator.world import World


@dataclass(frozen=True)
class Account:
    """In USD, and hours of service."""

    baseline: float
    paid: float
    overhead: float  # the part of `paid` for instances while they served nobody
    hours: float

    @property
    def savings(self) -> float:
        return self.baseline - self.paid


def account_of(world: World, *, start: float, end: float) -> Account:
    baseline = hours = serving_cost = 0.0
    for workload in world.workloads.values():
        for serving in workload.served:
            first = max(start, serving.since)
            last = min(end, serving.until if serving.until is not None else end)
            if last > first:
                baseline += world.cloud.ondemand_price(serving.instance.pool) * (last - first) / 3600
                hours += (last - first) / 3600
                serving_cost += world.cloud.bill(serving.instance, first, last)
    paid = sum(world.cloud.bill(instance, start, end) for instance in world.cloud.instances.values())
    return Account(baseline, paid, paid - serving_cost, hours)


def relative_difference(ours: float, theirs: float) -> float:
    """|theirs - ours| as a share of ours; both zero is agreement."""
    if ours == 0:
        return 0.0 if theirs == 0 else 1.0
    return abs(theirs - ours) / abs(ours)
