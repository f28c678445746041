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
FALSE_HINT_WITHIN_SECONDS = 7200  # of a true one, somewhere in the fleet
LATE_NOTICE_SECONDS = (10, 100)
LOOK_SECONDS = 600
AFTERMATH_SECONDS = 300  # of a loss: launches that were late, and what was too many, are seen to


class Reclaims:
    def __init__(self, world: World, *, mean_life_hours: float) -> None:
        self.world = world
        self.notices = self.late_notices = self.missing_notices = 0
        self.hints = self.false_hints = 0
        self._rng = world.rng("reclaims")
        self._signals = world.rng("signals")
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
        for instance in self.running():
            if self._rng.random() < chance:
                self.take(instance, within=LOOK_SECONDS)
        self._look_later()

    # --- Waves ----------------------------------------------------------------------------------------------------

    def _next_wave(self, pool: Pool, *, mean_seconds: float) -> None:
        def strike() -> None:
            share = self._rng.uniform(*WAVE_SHARE)
            for instance in self.running():
                if instance.pool == pool and self._rng.random() < share:
                    self.take(instance, within=WAVE_SECONDS)
            self._next_wave(pool, mean_seconds=mean_seconds)

        self.world.scheduler.after(self._rng.expovariate(1 / mean_seconds), strike, key="reclaims")

    # --- One loss -------------------------------------------------------------------------------------------------

    def running(self) -> list[Instance]:
        """Spot instances that are up and not about to be taken."""
        now = self.world.now
        everything = list(self.world.cloud.instances.values())
        return [i for i in everything if i.mode == "spot" and i.reclaim_at is None and i.is_up(now)]

    def take(self, instance: Instance, *, within: float) -> None:
        """Notice at a random moment of the next `within` seconds, or after an early hint; gone two minutes later."""
        if self.world.is_winding_down:
            return
        scheduler, key, chances = self.world.scheduler, instance.owner, self.world.chances
        delay = self._rng.random() * within
        if self._rng.random() < chances.rebalance_signal:
            early = self._rng.uniform(*EARLY_HINT_SECONDS)
            scheduler.after(delay, lambda: self._hint(instance), key=key)
            delay += early
            self._plan_false_hints()
        instance.reclaim_at = self.world.now + delay + NOTICE_SECONDS
        if self._signals.random() >= chances.missing_notice:
            is_late = self._signals.random() < chances.late_notice
            left = self._signals.uniform(*LATE_NOTICE_SECONDS) if is_late else NOTICE_SECONDS
            instance.notice_at = instance.reclaim_at - left
            scheduler.at(instance.notice_at, lambda: self._notify(instance), key=key)
        scheduler.at(instance.reclaim_at, lambda: self._reclaim(instance), key=key)

    def _notify(self, instance: Instance) -> None:
        if not instance.is_up(self.world.now) or instance.notice_at is None or instance.reclaim_at is None:
            return
        self.notices += 1
        self.late_notices += instance.reclaim_at - instance.notice_at < NOTICE_SECONDS
        workload = self._owner(instance)
        workload.interruptions += 1
        workload.attend(INTERRUPTION, NOTICE_SECONDS + AFTERMATH_SECONDS)
        process = workload.processes.get(instance.id)
        if process and process.is_alive:
            process.notice(instance.reclaim_at)

    def _reclaim(self, instance: Instance) -> None:
        if instance.ended_at is not None:
            return
        workload = self._owner(instance)
        if instance.notice_at is None:
            self.missing_notices += 1
            workload.interruptions += 1
            workload.attend(INTERRUPTION, NOTICE_SECONDS + AFTERMATH_SECONDS)
        instance.alternatives -= self.world.cloud.exhausted
        workload.lose(instance)

    def _owner(self, instance: Instance) -> Workload:
        return self.world.workload(instance.owner)

    # --- Early hints, true and false ------------------------------------------------------------------------------

    def _plan_false_hints(self) -> None:
        """As many for each true one as the precision says, each on an instance that EC2 has no plans with."""
        precision = self.world.chances.rebalance_precision
        number = int((1 - precision) / precision + self._signals.random())
        for _ in range(number):
            delay = self._signals.random() * FALSE_HINT_WITHIN_SECONDS
            self.world.scheduler.after(delay, self._mislead, key="reclaims")

    def _mislead(self) -> None:
        running = sorted(self.running(), key=lambda instance: instance.id)
        if running and not self.world.is_winding_down:
            instance = self._signals.choice(running)
            self.false_hints += 1
            self.world.scheduler.after(0, lambda: self._hint(instance), key=instance.owner)

    def _hint(self, instance: Instance) -> None:
        self.hints += 1
        workload = self._owner(instance)
        process = workload.processes.get(instance.id)
        if instance.is_up(self.world.now) and process and process.is_alive and workload.serving is instance:
            workload.attend(INTERRUPTION, 120)
            process.rebalance()
