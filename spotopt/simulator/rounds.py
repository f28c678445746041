"""What goes on around the agents: the server's jobs, fresh prices on the wire, and its sudden deaths."""

import threading
from collections.abc import Callable

from spotopt.simulator.prices import Pool
from spotopt.simulator.server import JobRunner, Server
from spotopt.simulator.workload import INTERRUPTION, LEFTOVER, ORDER, Workload
from spotopt.simulator.world import World

DAY = 24 * 3600
URGENT_SECONDS = 60  # between job rounds while something is under way
EMERGENCY_SECONDS = 10  # the same during an interruption, when failover is the server's to finish
REPORT_WITHIN_SECONDS = 300  # each agent reports prices that often; of several the first is soon there

# Silence means something only right after a round of heartbeats, so these run in whole rounds alone.
SILENCE_JOBS = ("sweep_agents",)
LEDGER_JOBS = ("roll_up_ledger", "rollup_savings")
EMERGENCY_JOBS = ("sweep_replicas", "sweep_failovers", "sweep_interruptions")
OTHER_JOBS = ("expire_commands", "sweep_terminations")
DAILY_JOBS = ("prune_history",)


class JobRounds:
    """Runs the server's jobs at simulated times: all of them after each round of heartbeats, some in between."""

    def __init__(self, world: World, runner: JobRunner) -> None:
        self.world = world
        self.runner = runner
        self._next_daily = world.now + DAY

    def start(self) -> None:
        self._plan_round()
        self.world.scheduler.after(URGENT_SECONDS, self._urgent, key="jobs")

    def whole_round(self) -> None:
        self._run(*EMERGENCY_JOBS, *SILENCE_JOBS, *OTHER_JOBS, *LEDGER_JOBS)
        if self.world.now >= self._next_daily:
            self._next_daily += DAY
            self._run(*DAILY_JOBS)

    def _plan_round(self) -> None:
        seconds = self.world.pace.round_seconds
        due = (self.world.now // seconds + 1) * seconds
        self.world.scheduler.at(due, self._round, key="jobs")

    def _round(self) -> None:
        self.whole_round()
        self._plan_round()

    def _urgent(self) -> None:
        workloads = self.world.workloads.values()
        emergency = any(w.is_attended(INTERRUPTION) for w in workloads)
        if emergency:
            self._run(*EMERGENCY_JOBS)
        if emergency or any(w.is_attended(ORDER, LEFTOVER) for w in workloads):
            self._run(*OTHER_JOBS)
        can_fail_over = emergency and self.world.has_route("create-emergency-replica")
        pause = EMERGENCY_SECONDS if can_fail_over else URGENT_SECONDS
        self.world.scheduler.after(pause, self._urgent, key="jobs")

    def _run(self, *names: str) -> None:
        for name in names:
            if name not in self.runner.missing:
                self.runner.run(name)


class PriceWatch:
    """A pool's price changed: one of the agents that see it reports soon, although their calls are stretched.

    With true rates n agents of that type and region report within 300 s, the first of them after about 300 / n; what
    the others would say is no news.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._rng = world.rng("price watch")

    def start(self) -> None:
        if self.world.pace.is_stretched:
            for pool in self.world.prices.series:
                self._await_change(pool, after=self.world.now)

    def _await_change(self, pool: Pool, *, after: float) -> None:
        at = self.world.prices.series[pool].next_change(after)
        if at is not None:
            self.world.scheduler.at(at, lambda: self._changed(pool, at), key=f"market {pool.id}")

    def _changed(self, pool: Pool, at: float) -> None:
        """`at` may lie a fraction of a second ahead of the clock, which moves by batches of a second."""
        watchers = [w for w in self.world.workloads.values() if _sees(w, pool)]
        if watchers:
            watcher = self._rng.choice(watchers)
            within = REPORT_WITHIN_SECONDS / len(watchers)
            self.world.scheduler.after(0, lambda: _report_soon(watcher, within), key=watcher.key)
        self._await_change(pool, after=at)


def _sees(workload: Workload, pool: Pool) -> bool:
    own = workload.served[-1].instance.pool if workload.served else workload.pool
    reports = hasattr(workload.dialect, "report_prices")
    return (
        reports and (own.instance_type, own.region) == (pool.instance_type, pool.region) and workload.agent is not None
    )


def _report_soon(workload: Workload, within: float) -> None:
    report = getattr(workload.agent, "report_prices", None)
    if workload.agent and report:
        workload.agent.hurry(report, within=within)


class Chaos:
    """SIGKILLs the server every so many simulated hours, in the middle of its requests, and starts it again."""

    DOWN_SECONDS = 40  # simulated; long enough for one-shot reports to get lost
    FUSE_SECONDS = 0.05  # of wall time, so that the kill falls into a batch of requests

    def __init__(self, world: World, server: Server, *, every_hours: float, say: Callable[[str], None]) -> None:
        self.world = world
        self.server = server
        self.kills = 0
        self._fuse: threading.Timer | None = None
        self._every = every_hours * 3600
        self._say = say

    def start(self) -> None:
        self._plan()

    def _plan(self) -> None:
        """Right into the next round of heartbeats, when most requests are under way."""
        seconds = self.world.pace.round_seconds
        due = ((self.world.now + self._every) // seconds + 1) * seconds - 15
        self.world.scheduler.at(due, self._light_fuse, key="chaos")

    def _light_fuse(self) -> None:
        if self.world.is_winding_down:
            return
        self.world.transport.is_down_on_purpose = True  # requests on the way may fail from here on
        self._fuse = threading.Timer(self.FUSE_SECONDS, self.server.kill)
        self._fuse.start()
        self.world.scheduler.after(self.DOWN_SECONDS, self._revive, key="chaos")

    def _revive(self) -> None:
        if self._fuse:
            self._fuse.join()  # simulated time may have run ahead of it, and it must not hit the new server
        self.server.start()
        self.world.transport.is_down_on_purpose = False
        self.kills += 1
        self._say(f"server killed with SIGKILL and started again ({self.kills})")
        self._plan()
