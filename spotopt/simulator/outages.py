"""Times in which a workload had no primary for longer than EC2's notice, by what could have been done about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from spotopt.simulator.ec2 import Instance
from spotopt.simulator.reclaims import NOTICE_SECONDS
from spotopt.simulator.workload import Workload
from spotopt.simulator.world import World

ROUNDING_SECONDS = 2  # of the event queue

AVOIDABLE = "a standby could be had"
NO_LAUNCHER = "v2, v4b: nobody to launch one"
NO_CAPACITY = "no capacity for one"
BROKEN = "agent died in the emergency"
LATE = "late notice"
UNANNOUNCED = "unannounced"
OTHER = "not EC2's doing"
KINDS = (AVOIDABLE, NO_LAUNCHER, NO_CAPACITY, BROKEN, LATE, UNANNOUNCED, OTHER)
LAUNCHERS = ("v4", "v5")


@dataclass(frozen=True)
class Outage:
    workload: str
    instance_id: str  # the last that served
    since: float
    seconds: float
    kind: str

    def __str__(self) -> str:
        return f"{self.workload}: nobody served for {self.seconds:.0f} s after {self.instance_id} ({self.kind})"


def outages_of(world: World, *, end: float) -> list[Outage]:
    return [outage for workload in world.workloads.values() for outage in _outages(world, workload, end)]


def _outages(world: World, workload: Workload, end: float) -> Iterator[Outage]:
    served = workload.served
    for number, serving in enumerate(served):
        following = served[number + 1].since if number + 1 < len(served) else end
        if serving.until is not None and following - serving.until > NOTICE_SECONDS:
            kind = _kind(workload, serving.instance)
            yield Outage(workload.key, serving.instance.id, serving.until, following - serving.until, kind)


def _kind(workload: Workload, lost: Instance) -> str:
    if not lost.was_reclaimed or lost.reclaim_at is None:
        return OTHER
    if lost.heard_at is None:
        return UNANNOUNCED
    if workload.dialect.dialect not in LAUNCHERS:
        return NO_LAUNCHER
    if lost.reclaim_at - lost.heard_at < NOTICE_SECONDS - ROUNDING_SECONDS:
        return LATE
    if lost.id in workload.broken:
        return BROKEN
    has_ondemand = workload.dialect.dialect == "v5"  # v4 launches its standbys on spot capacity only
    return AVOIDABLE if has_ondemand or lost.alternatives else NO_CAPACITY
