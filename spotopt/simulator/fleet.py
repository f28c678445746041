"""Puts a simulation together, runs it, and compares both sides at the end."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from spotopt.simulator import checks
from spotopt.simulator.account import Account, account_of
from spotopt.simulator.clockfile import Clock
from spotopt.simulator.dialects import DIALECTS
from spotopt.simulator.ec2 import Cloud
from spotopt.simulator.events import Action, Scheduler
from spotopt.simulator.losses import Losses, Traces
from spotopt.simulator.operations import Operations
from spotopt.simulator.outages import outages_of
from spotopt.simulator.pace import Pace
from spotopt.simulator.prices import Pool, PriceBook
from spotopt.simulator.reclaims import Reclaims
from spotopt.simulator.report import Result, instance_facts, outage_facts, signal_facts
from spotopt.simulator.rounds import Chaos, JobRounds, PriceWatch
from spotopt.simulator.server import JobRunner, Server
from spotopt.simulator.steerer import FIRST_ORDER_SECONDS, Steerer
from spotopt.simulator.transport import Transport
from spotopt.simulator.workload import Workload
from spotopt.simulator.world import QUIET_SECONDS, Chances, World

START_WITHIN_SECONDS = 600.0
SPOT_SHARE = 0.75  # of the workloads that start on spot capacity
ENDLESS = 10 * 365 * 24 * 3600.0
LISTED = 5000

# Endpoints of later stages, probed once: kind of call → (method, rest of the path)
OPTIONAL_ROUTES = {
    "replicas": ("GET", "replicas"),
    "create-emergency-replica": ("POST", "create-emergency-replica"),
    "termination-imminent": ("POST", "termination-imminent"),
    "rebalance-recommendation": ("POST", "rebalance-recommendation"),
    "emergency-status": ("GET", "emergency-status"),
    "decide": ("POST", "decide"),
}
NO_AGENT = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Options:
    mix: dict[str, int]  # dialect → number of agents
    days: float  # 0: until stopped
    seed: int
    start: float
    speed: float | None
    stretch: float
    threads: int
    mean_life_hours: float
    switches_per_day: float
    kill_every_hours: float
    tolerance: float
    losses: Traces = field(default_factory=dict)  # that drive the interruptions, besides mean_life_hours
    losses_every_days: float = 1.0
    chances: Chances = field(default_factory=Chances)
    start_within_seconds: float = START_WITHIN_SECONDS
    first_order_seconds: float = FIRST_ORDER_SECONDS
    quiet_seconds: float = QUIET_SECONDS
    forgives_outages: bool = False  # the server is away now and then: workloads may wait, orders be lost on the way


class Fleet:
    def __init__(
        self,
        options: Options,
        *,
        transport: Transport,
        prices: PriceBook,
        clock: Clock,
        client_id: str,
        server: Server | None = None,
        runner: JobRunner | None = None,
        say: Callable[[str], None],
    ) -> None:
        self.options = options
        self.client_id = client_id
        self.server = server
        self.runner = runner
        duration = options.days * 86400 if options.days else ENDLESS
        scheduler = Scheduler(clock, start=options.start, speed=options.speed, threads=options.threads)
        chances = options.chances
        network = "127" if transport.bind_sources else "10"
        cloud = Cloud(
            prices,
            capacity_failures=chances.no_capacity,
            termination_failures=chances.termination_refused,
            network=network,
        )
        self.world = World(
            scheduler,
            cloud,
            prices,
            transport,
            Pace(options.stretch),
            ends_at=options.start + duration,
            seed=options.seed,
            chances=chances,
            quiet_seconds=options.quiet_seconds,
        )
        after = options.first_order_seconds
        self.steerer = Steerer(self.world, per_day=options.switches_per_day, after_seconds=after)
        self.operations = Operations(self.world)
        self.reclaims = Reclaims(self.world, mean_life_hours=options.mean_life_hours)
        self.losses: Losses | None = None
        if options.losses:
            every = options.losses_every_days
            self.losses = Losses(self.world, self.reclaims, options.losses, every_days=every)
        self.rounds = JobRounds(self.world, runner) if runner else None
        self.chaos: Chaos | None = None
        if server and options.kill_every_hours:
            self.chaos = Chaos(self.world, server, every_hours=options.kill_every_hours, say=say)

    # --- The run --------------------------------------------------------------------------------------------------

    def run(self, after_batch: Action) -> Result:
        started = time.monotonic()
        self.begin()
        self.world.scheduler.run(self.world.ends_at, after_batch)
        return self.conclude(wall_seconds=time.monotonic() - started)

    def begin(self) -> None:
        world = self.world
        probe_routes(world.transport)
        self._populate()
        surroundings = (PriceWatch(world), self.rounds, self.chaos)
        for part in (self.steerer, self.operations, self.reclaims, self.losses, *surroundings):
            if part:
                part.start()

    def run_jobs_with(self, runner: JobRunner) -> None:
        """From now on the simulation runs the server's jobs, which ran by themselves so far."""
        self.runner, self.rounds = runner, JobRounds(self.world, runner)
        self.rounds.start()

    def conclude(self, *, wall_seconds: float) -> Result:
        try:
            return self._result(started_at=self.options.start, ended_at=self.world.now, wall_seconds=wall_seconds)
        finally:
            self.world.scheduler.close()

    def _populate(self) -> None:
        world, rng = self.world, self.world.rng("fleet")
        pools = sorted(world.prices.series)
        number = 0
        for dialect, count in self.options.mix.items():
            for _ in range(count):
                number += 1
                pool: Pool = rng.choice(pools)
                mode = "spot" if rng.random() < SPOT_SHARE else "ondemand"
                workload = Workload(
                    world, key=f"{dialect}-{number:04d}", dialect=DIALECTS[dialect], pool=pool, mode=mode
                )
                world.workloads[workload.key] = workload
                delay = rng.random() * self.options.start_within_seconds
                world.scheduler.after(delay, partial(self._launch, workload), key=workload.key)

    def _launch(self, workload: Workload) -> None:
        instance = workload.launch(pool=workload.pool, mode=workload.mode, surely=True)
        self.world.scheduler.at(instance.running_at, lambda: workload.serve(instance), key=workload.key)

    # --- The end --------------------------------------------------------------------------------------------------

    def _result(self, *, started_at: float, ended_at: float, wall_seconds: float) -> Result:
        findings = checks.Findings()
        for workload in self.world.workloads.values():  # the ledger of an open interval ends with the last sign of life
            if agent := workload.agent:
                agent.heartbeat()
        if self.rounds:
            self.rounds.whole_round()
        rows = self.instances()
        if rows is None:
            findings.check(False, "the server's list of instances could not be read")
        else:
            checks.check_primaries(self.world, rows, findings)
            checks.check_promises(self.world, rows, findings)
            checks.check_instances(self.world, rows, findings, end=ended_at)
        outages = outages_of(self.world, end=ended_at)
        checks.check_launches(self.world, findings)
        if not self.options.forgives_outages:
            checks.check_outages(outages, findings)
            checks.check_deliveries(self.world, findings)
        checks.check_executions(self.world, findings)
        if self.runner:
            checks.check_records(self.world, self.runner, findings)
        else:
            findings.unknown.append("the server's records of commands and switches cannot be read from here")
        server = self._server_account()
        facts: dict[str, object] = {
            "replaced by autoscaling": self.operations.replacements,
            "cleared by hand": self.operations.cleared_by_hand,
            "refused orders": self.steerer.refused,
            **signal_facts(self.reclaims),
            **outage_facts(outages),
            **instance_facts(self.world, findings),
        }
        if self.losses:
            facts["drops in the traces"] = self.losses.drops
        if self.chaos:
            facts["server killed"] = self.chaos.kills
        return Result(
            world=self.world,
            account=account_of(self.world, start=started_at, end=ended_at),
            server=server,
            findings=findings,
            tolerance=self.options.tolerance,
            wall_seconds=wall_seconds,
            simulated_seconds=ended_at - started_at,
            facts=facts,
        )

    def instances(self) -> list[dict[str, Any]] | None:
        """All that the server lists. None when it does not answer."""
        transport = self.world.transport
        with transport.session() as session:
            path = f"/api/client/{self.client_id}/instances?limit={LISTED}&status=all"
            reply = transport.call(session, "GET", path, kind="instances", at=self.world.now)
        return reply.body if reply.ok and isinstance(reply.body, list) else None

    def _server_account(self) -> Account | None:
        """From `show_ledger`, for a server of our own."""
        output = self.runner.run("show_ledger", "--json", "--client", self.client_id) if self.runner else None
        if output is None:
            return None
        ledger = json.loads(output)
        roles = ledger.get("by_role") or {}
        primary = roles.get("primary") or {}
        beside = sum(float(role["paid_usd"]) for name, role in roles.items() if name != "primary")
        hours = float(primary.get("seconds", ledger["seconds"])) / 3600
        return Account(float(ledger["baseline_usd"]), float(ledger["paid_usd"]), beside, hours)


def probe_routes(transport: Transport) -> None:
    """A route that exists says AGENT_NOT_FOUND of an unknown agent; one that does not, a plain NOT_FOUND."""
    with transport.session() as session:
        for kind, (method, name) in OPTIONAL_ROUTES.items():
            path = f"/api/agents/{NO_AGENT}/{name}"
            body: dict[str, Any] | None = {} if method == "POST" else None
            reply = transport.call(session, method, path, body, kind=f"probe {kind}", expected=(400, 404, 405))
            if reply.status in (404, 405) and reply.get("code") != "AGENT_NOT_FOUND":
                transport.missing.add(kind)


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost")
