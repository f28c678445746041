"""One seed: a fleet at work, faults at random moments, the invariants after each, and a day of peace at the end."""

import random
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotopt.e2e.processes import until
from spotopt.faults import invariants
from spotopt.faults.catalogue import FAULTS, Site
from spotopt.faults.deployment import Deployment
from spotopt.faults.invariants import Invariant
from spotopt.faults.mariadb import MariaDB
from spotopt.faults.wire import UnreliableTransport, is_healthy
from spotopt.simulator import market
from spotopt.simulator.fleet import Fleet, Options
from spotopt.simulator.pace import Pace
from spotopt.simulator.promises import Promises
from spotopt.simulator.report import Result
from spotopt.simulator.server import JobRunner, ServerFailed

START = 1_768_208_400.0  # 2026-01-12 09:00 UTC
DAY = 24 * 3600.0
SPEED = 20.0  # simulated seconds per second while things break
SHARES = {"v4": 0.4, "v2": 0.2, "v4b": 0.15, "v5": 0.25}
DISTURBED_SHARE = 0.02  # of all calls, always; one of the faults makes it more
START_SECONDS = 120.0  # simulated, until all agents are up
FIRST_ORDER_SECONDS = 180.0
SWITCHES_PER_DAY = 80.0  # and agent: half of the fleet moves within ten minutes
MEAN_LIFE_HOURS = 1.0
PAUSE_SECONDS = (1.0, 4.0)  # real ones, before each fault
BACK_SECONDS = 60  # within which the server must answer again
SETTLE_SECONDS = 3600  # simulated: the longest deadline of an order, and a little
BUSY, SETTLING, CALM = Pace(2), Pace(10), Pace(400)
THREADS = 16
LOOKS = 10  # at what the server lists


@dataclass(frozen=True)
class Plan:
    seed: int
    agents: int
    faults: list[str]
    outage_seconds: float
    calm_days: float  # at the end; what the comparison of the accounts is over
    tolerance: float
    is_careless: bool  # the database does not keep its promises; the checks must notice


Say = Callable[[str], None]


def run(plan: Plan, directory: Path, *, template: MariaDB, say: Say) -> list[Invariant]:
    """Everything that was checked."""
    deployment = Deployment(
        directory,
        template=template,
        at=START,
        on_small_disk="disk_full" in plan.faults,
        is_careless=plan.is_careless,
    )
    try:
        client_id, token = deployment.start()
        rng = random.Random(f"{plan.seed}:wire")  # noqa: S311 (chance, not cryptography)
        transport = UnreliableTransport(
            deployment.server.url, token=token, rng=rng, bind_sources=True, journal=directory / "journal.jsonl"
        )
        fleet = _fleet(plan, deployment, transport, client_id=client_id, say=say)
        return _Run(plan, deployment, transport, fleet, log=directory / "promises.jsonl", say=say).run()
    finally:
        deployment.destroy()


def _fleet(plan: Plan, deployment: Deployment, transport: UnreliableTransport, *, client_id: str, say: Say) -> Fleet:
    mix = {dialect: max(1, round(share * plan.agents)) for dialect, share in SHARES.items()}
    options = Options(
        mix=mix,
        days=plan.calm_days + 1,  # the end is set once the faults are over
        seed=plan.seed,
        start=START,
        speed=SPEED,
        stretch=BUSY.stretch,
        threads=THREADS,
        mean_life_hours=MEAN_LIFE_HOURS,
        switches_per_day=SWITCHES_PER_DAY,
        kill_every_hours=0,
        tolerance=plan.tolerance,
        start_within_seconds=START_SECONDS,
        first_order_seconds=FIRST_ORDER_SECONDS,
        forgives_outages=True,
    )
    prices = market.generate(start=START, days=plan.calm_days + 2, seed=plan.seed)
    return Fleet(options, transport=transport, prices=prices, clock=deployment.clock, client_id=client_id, say=say)


class _Run:
    def __init__(
        self,
        plan: Plan,
        deployment: Deployment,
        transport: UnreliableTransport,
        fleet: Fleet,
        *,
        log: Path,
        say: Say,
    ) -> None:
        self.plan, self.deployment, self.transport, self.fleet, self._say = plan, deployment, transport, fleet, say
        self.log, self.world = log, fleet.world
        self.world.promises = Promises(log=log)
        self.runner: JobRunner = deployment.runner  # type: ignore[assignment]  # it has been started
        self.checked: list[Invariant] = []

    def run(self) -> list[Invariant]:
        began = time.monotonic()
        scheduler = self.world.scheduler
        self.fleet.begin()
        scheduler.run(START + FIRST_ORDER_SECONDS)
        self._under_faults()
        self._settle()
        result = self.fleet.conclude(wall_seconds=time.monotonic() - began)
        self._tell(result)
        self._check(self._invariants())
        self._check(invariants.at_end(result, runner=self.runner, logs=self.deployment.logs()))
        self.world.promises.close()
        self.transport.close()
        return self.checked

    # --- Trouble --------------------------------------------------------------------------------------------------

    def _under_faults(self) -> None:
        """The fleet goes on in another thread: Linux would end what this one starts together with it."""
        self.transport.disturb(DISTURBED_SHARE)
        over = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            fleet = threads.submit(self._go_on, over)
            try:
                self._break_everything()
            finally:
                over.set()
            fleet.result()
        self.transport.settle()

    def _go_on(self, over: threading.Event) -> None:
        while not over.is_set():
            self.world.scheduler.run(self.world.now + SPEED)

    def _break_everything(self) -> None:
        rng = random.Random(f"{self.plan.seed}:moments")  # noqa: S311
        site = Site(self.deployment, self.transport, rng, self.plan.outage_seconds)
        for name in self.plan.faults:
            time.sleep(rng.uniform(*PAUSE_SECONDS))
            since = self.world.now
            try:
                self._say(f"  {name}: {FAULTS[name](site)}; {self._back()}")
                self.world.outages.append((since, self.world.now))
                self._check(self._invariants(), quietly=True)
            except Exception:
                self._check([Invariant(name, [traceback.format_exc()])])
                return

    def _back(self) -> str:
        url = self.deployment.server.url
        took = until(lambda: is_healthy(url), what="the server answers", within_seconds=BACK_SECONDS)
        return f"served again after {took:.1f} s"

    # --- Peace ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """First at a quick pace, until all that was begun has ended; then a day in which nothing happens."""
        world, scheduler = self.world, self.world.scheduler
        self._say(f"  jobs stopped in {self.deployment.stop_jobs():.1f} s, settling")
        self.deployment.serve_without_memory()
        world.ends_at = world.now + SETTLE_SECONDS + self.plan.calm_days * DAY
        world.quiet_seconds = world.ends_at - world.now + 1
        world.pace = SETTLING
        operations = self.fleet.operations  # an instance that serves nobody keeps its agents calling at full rate
        operations.patience = operations.patience_with_standbys = SETTLE_SECONDS
        scheduler.set_speed(None)
        self.fleet.run_jobs_with(self.runner)
        scheduler.run(world.now + SETTLE_SECONDS)
        world.pace = CALM
        scheduler.run(world.ends_at)

    # --- Checks ---------------------------------------------------------------------------------------------------

    def _invariants(self) -> list[Invariant]:
        def found() -> list[Invariant]:
            return invariants.after_fault(self.world, log=self.log, list_instances=self._listed, runner=self.runner)

        try:
            return found()
        except ServerFailed:  # the runner's own connection died with the fault; it has a new one now
            return found()

    def _listed(self) -> list[dict[str, Any]] | None:
        """Our own call may be lost on the way like any other."""
        answers = (self.fleet.instances() for _ in range(LOOKS))
        return next((rows for rows in answers if rows is not None), None)

    def _check(self, found: list[Invariant], *, quietly: bool = False) -> None:
        self.checked += found
        for invariant in found:
            if not invariant.holds:
                self._say(f"  BROKEN {invariant.name}")
                for text in invariant.broken[:10]:
                    self._say(f"    {text}")
            elif not quietly:
                self._say(f"  ok     {invariant.name}")

    def _tell(self, result: Result) -> None:
        world, transport = self.world, self.transport
        orders = world.orders.all()
        workloads = world.workloads.values()
        self._say(
            f"  {transport.counts.total} calls, {transport.counts.unreachable} unanswered, "
            f"{sum(n for name, n in transport.counts.refused.items() if '503' in name)} times 503, "
            f"{transport.repeated} repeated, {transport.late} late, {transport.lost} answers lost; "
            f"{len(orders)} orders, {sum(w.switches for w in workloads)} switches, "
            f"{sum(w.interruptions for w in workloads)} interruptions, "
            f"{sum(w.failovers for w in workloads)} failovers; acknowledged: {world.promises.size}; "
            f"savings {result.account.savings:.2f} USD"
            + (f", by the server {result.server.savings:.2f}" if result.server else "")
        )
