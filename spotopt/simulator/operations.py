"""What a tenant's own people and tools do, whatever the optimizer does: replace what was lost, clear what was left."""

from functools import partial

from spotopt.simulator.workload import LEFTOVER, Workload
from spotopt.simulator.world import World

LOOK_SECONDS = 60
REPLACE_SECONDS = (150, 360)  # from the loss until autoscaling launches a replacement
FORGOTTEN_SECONDS = 3 * 3600  # then somebody terminates an instance that serves nobody
FORGOTTEN_STANDBY_SECONDS = 12 * 3600  # each new signal keeps a standby for two hours more


class Operations:
    def __init__(self, world: World) -> None:
        self.world = world
        self.replacements = 0
        self.cleared_by_hand = 0
        self.patience, self.patience_with_standbys = FORGOTTEN_SECONDS, FORGOTTEN_STANDBY_SECONDS
        self._rng = world.rng("operations")
        self._replacing: set[str] = set()
        self._idle_since: dict[str, float] = {}

    def start(self) -> None:
        self.world.scheduler.after(LOOK_SECONDS, self._look, key="operations")

    def _look(self) -> None:
        for workload in self.world.workloads.values():
            if workload.served and workload.serving is None:
                self._cope_with_loss(workload)
            self._look_at_leftovers(workload)
        self.world.scheduler.after(LOOK_SECONDS, self._look, key="operations")

    def _cope_with_loss(self, workload: Workload) -> None:
        if successor := workload.successor_in_waiting():
            workload.serve(successor)
        elif workload.key not in self._replacing:
            self._replacing.add(workload.key)
            delay = self._rng.uniform(*REPLACE_SECONDS)
            self.world.scheduler.after(delay, lambda: self._replace(workload), key=workload.key)

    def _replace(self, workload: Workload) -> None:
        self._replacing.discard(workload.key)
        if workload.serving is not None or workload.is_successor_coming():
            return
        last = workload.served[-1].instance.pool
        pools = self.world.prices.pools(last.instance_type, last.region)
        others = [pool for pool in pools if pool != last and pool not in self.world.cloud.exhausted] or pools
        if workload.replace(pools=others):
            self.replacements += 1

    def _look_at_leftovers(self, workload: Workload) -> None:
        now = self.world.now
        leftovers = workload.leftovers()
        if leftovers:
            workload.attend(LEFTOVER, 2 * LOOK_SECONDS)
        for instance in leftovers:
            since = self._idle_since.setdefault(instance.id, now)
            patience = self.patience_with_standbys if instance.id in workload.standbys else self.patience
            if now - since > patience and workload.serving is not None:
                self.world.scheduler.after(0, partial(self._clear, workload, instance.id), key=workload.key)

    def _clear(self, workload: Workload, instance_id: str) -> None:
        if self.world.cloud.instances[instance_id].ended_at is None:
            workload.terminate(instance_id, surely=True)
            self.cleared_by_hand += 1
