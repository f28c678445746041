"""EC2 takes spot instances back: a two-minute notice, sometimes an earlier hint, and often many of a pool at once.

Public traces of kept-alive spot instances: a third to two thirds of all losses took at least half of a pool's
machines within five minutes. Here half of the losses come in such waves. The mean life is an option: AWS's advisor
puts most types at 5–20 % of instances a month, GPU traces of 2023 at hours.
"""

from spotopt.simulator.ec2 import Instance
from spotopt.simulator.prices import Pool
from spotopt.simulator.workload import INTERRUPTION, Workload
from spotopt.simulator.world import World

NOTICE_SECONDS = 120
WAVE_SECONDS = 300
WAVE_LOSSES = 0.5  # share of all losses that come in waves
WAVE_SHARE = (0.5, 1.0)  # of the pool's instances that one wave takes
EARLY_HINT_SECONDS = (300, 900)
LOOK_SECONDS = 600


class Reclaims:
    def __init__(self, world: World, *, mean_life_hours: float) -> None:
        self.world = world
        self.notices = 0
        self._rng = world.rng("reclaims")
        self._hazard = 1 / (mean_life_hours * 3600) if mean_life_hours > 0 else 0.0

    def start(self) -> None:
        if not self._hazard:
            return
        self._look_later()
        mean_share = sum(WAVE_SHARE) / 2
        for pool in self.world.prices.series:
            self._next_wave(pool, mean_seconds=mean_share / (WAVE_LOSSES * self._hazard))

    # --- Single losses --------------------------------------------------------------------------------------------

    def _look_later(self) -> None:
        self.world.scheduler.after(LOOK_SECONDS, self._look, key="reclaims")

    def _look(self) -> None:
        chance = (1 - WAVE_LOSSES) * self._hazard * LOOK_SECONDS
        for instance in self._running():
            if self._rng.random() < chance:
                self._take(instance, within=LOOK_SECONDS)
        self._look_later()

    # --- Waves ----------------------------------------------------------------------------------------------------

    def _next_wave(self, pool: Pool, *, mean_seconds: float) -> None:
        def strike() -> None:
            share = self._rng.uniform(*WAVE_SHARE)
            for instance in self._running():
                if instance.pool == pool and self._rng.random() < share:
                    self._take(instance, within=WAVE_SECONDS)
            self._next_wave(pool, mean_seconds=mean_seconds)

        self.world.scheduler.after(self._rng.expovariate(1 / mean_seconds), strike, key="reclaims")

    # --- One loss -------------------------------------------------------------------------------------------------

    def _running(self) -> list[Instance]:
        now = self.world.now
        everything = list(self.world.cloud.instances.values())
        return [i for i in everything if i.mode == "spot" and i.reclaim_at is None and i.is_up(now)]

    def _take(self, instance: Instance, *, within: float) -> None:
        if self.world.is_winding_down:
            return
        scheduler, key = self.world.scheduler, instance.owner
        delay = self._rng.random() * within
        if self._rng.random() < self.world.chances.rebalance_signal:
            early = self._rng.uniform(*EARLY_HINT_SECONDS)
            scheduler.after(delay, lambda: self._hint(instance), key=key)
            delay += early
        instance.notice_at = self.world.now + delay
        instance.reclaim_at = instance.notice_at + NOTICE_SECONDS
        scheduler.at(instance.notice_at, lambda: self._notify(instance), key=key)
        scheduler.at(instance.reclaim_at, lambda: self._reclaim(instance), key=key)

    def _hint(self, instance: Instance) -> None:
        workload = self._owner(instance)
        process = workload.processes.get(instance.id)
        if instance.is_up(self.world.now) and process and process.is_alive and workload.serving is instance:
            workload.attend(INTERRUPTION, 120)
            process.rebalance()

    def _notify(self, instance: Instance) -> None:
        if not instance.is_up(self.world.now):
            return
        self.notices += 1
        workload = self._owner(instance)
        workload.interruptions += 1
        workload.attend(INTERRUPTION, NOTICE_SECONDS + 600)
        process = workload.processes.get(instance.id)
        if process and process.is_alive and instance.reclaim_at:
            process.notice(instance.reclaim_at)

    def _reclaim(self, instance: Instance) -> None:
        if instance.ended_at is None:
            self._owner(instance).lose(instance)

    def _owner(self, instance: Instance) -> Workload:
        return self.world.workload(instance.owner)
