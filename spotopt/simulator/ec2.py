"""A simulated EC2 account: instances that are launched, run, are billed and end."""

import random
import threading
from dataclasses import dataclass, field

from spotopt.simulator.prices import Pool, PriceBook

BOOT_SECONDS = (8, 25)  # from the call until "running"
SHUTDOWN_SECONDS = (20, 50)  # from "shutting-down" until "terminated"


class Ec2Error(Exception):
    """As boto words it: the code, then the text."""


@dataclass
class Instance:
    id: str
    owner: str  # key of the workload it was launched for
    pool: Pool
    mode: str  # spot or ondemand
    ami_id: str
    private_ip: str
    launched_at: float
    running_at: float
    ended_at: float | None = None  # billing ends here
    gone_at: float | None = None  # and here it leaves the listing
    notice_at: float | None = None  # spot only: from here on its metadata service announces, if ever,
    reclaim_at: float | None = None  # that it will be taken back then
    heard_at: float | None = None  # when its agent first saw that,
    alternatives: set[Pool] = field(default_factory=set)  # other pools of its type with capacity from then to its end
    was_reclaimed: bool = False

    @property
    def pool_id(self) -> str | None:
        return self.pool.id if self.mode == "spot" else None

    def state(self, now: float) -> str:
        if self.ended_at is not None and now >= self.ended_at:
            return "terminated" if self.gone_at is not None and now >= self.gone_at else "shutting-down"
        return "running" if now >= self.running_at else "pending"

    def is_up(self, now: float) -> bool:
        return self.state(now) == "running"


class Cloud:
    """`capacity_failures` and `termination_failures` are the share of calls that EC2 refuses."""

    def __init__(
        self,
        prices: PriceBook,
        *,
        capacity_failures: float = 0.0,
        termination_failures: float = 0.0,
        network: str = "10",
    ) -> None:
        self.instances: dict[str, Instance] = {}
        self.exhausted: set[Pool] = set()  # no spot capacity there at the moment
        self.prices = prices
        self._capacity_failures = capacity_failures
        self._termination_failures = termination_failures
        self._network = network
        self._lock = threading.Lock()

    def launch(
        self, *, owner: str, pool: Pool, mode: str, ami_id: str, now: float, rng: random.Random, surely: bool = False
    ) -> Instance:
        if not surely and (rng.random() < self._capacity_failures or (mode == "spot" and pool in self.exhausted)):
            raise Ec2Error(f"InsufficientInstanceCapacity: no {pool.instance_type} capacity in {pool.az} at the moment")
        instance = Instance(
            id=f"i-{rng.getrandbits(68):017x}",
            owner=owner,
            pool=pool,
            mode=mode,
            ami_id=ami_id,
            private_ip="",
            launched_at=now,
            running_at=now + rng.uniform(*BOOT_SECONDS),
        )
        with self._lock:
            number = len(self.instances) + 1
            instance.private_ip = f"{self._network}.{(number >> 16) % 250 + 1}.{(number >> 8) & 255}.{number & 255}"
            self.instances[instance.id] = instance
        return instance

    def terminate(self, instance_id: str, *, now: float, rng: random.Random, surely: bool = False) -> Instance:
        """Also of an instance that is ending or has ended, as EC2 allows for about an hour."""
        instance = self.instances.get(instance_id)
        if instance is None:
            raise Ec2Error(f"InvalidInstanceID.NotFound: The instance ID '{instance_id}' does not exist")
        if instance.ended_at is not None:
            return instance
        if not surely and rng.random() < self._termination_failures:
            raise Ec2Error("RequestLimitExceeded: Request limit exceeded.")
        instance.ended_at = now
        instance.gone_at = now + rng.uniform(*SHUTDOWN_SECONDS)
        return instance

    def reclaim(self, instance: Instance, *, now: float) -> None:
        """EC2 takes a spot instance back."""
        if instance.ended_at is None:
            instance.ended_at = instance.gone_at = now
            instance.was_reclaimed = True

    def describe(self, now: float, *, region: str) -> list[Instance]:
        """What describe-instances lists with the states pending and running."""
        with self._lock:
            known = list(self.instances.values())
        return [i for i in known if i.pool.region == region and i.state(now) in ("pending", "running")]

    def bill(self, instance: Instance, start: float, end: float) -> float:
        """USD for the running time of `instance` inside [start, end)."""
        first = max(start, instance.running_at)
        last = end if instance.ended_at is None else min(end, instance.ended_at)
        if last <= first:
            return 0.0
        if instance.mode == "spot":
            return self.prices.series[instance.pool].cost(first, last)
        return self.ondemand_price(instance.pool) * (last - first) / 3600

    def ondemand_price(self, pool: Pool) -> float:
        return self.prices.ondemand[pool.region, pool.instance_type]
