"""Which database node and which machine dies when, and what must hold meanwhile and afterwards."""

import time
from collections.abc import Callable

from spotopt.cluster import galera, records, writer
from spotopt.cluster.access import Call, read_calls, trouble, unexplained
from spotopt.cluster.stack import ClusterStack, Machine
from spotopt.cluster.writer import Writer
from spotopt.common.job_leases import LEASE, RENEW_SECONDS
from spotopt.e2e import database, restarts
from spotopt.e2e.fleet_report import FleetReport, read_report
from spotopt.e2e.processes import until
from spotopt.e2e.scenario import FLEET_END_SECONDS, Scenario
from spotopt.management.commands.run_jobs import JOBS
from spotopt.simulator.promises import Promises

BEFORE_SECONDS = 45.0  # of load until the first trouble
# Four times as many moves as `./dev e2e` has; at the end the time to launch, boot and register, as a run that ends
# before that finds successors which the server does not know yet.
BUSY = ["--switches-per-day", "800", "--start-within", "20", "--first-order", "30", "--quiet", "100"]
DEAD_SECONDS = 12.0  # that a node or a machine is gone
PAUSE_SECONDS = 10.0  # of load between two troubles
EXCUSED_SECONDS = 10.0  # after each in which calls may be refused
JOBS_STOP_SECONDS = 60
SETTLE_SECONDS = 30
WRITERS = 4
# wsrep's own words for the two ways in which a node gets what it missed
MISSED = r"Receiving IST\.\.\. 100\.0% \((\d+)/"
COPIED = r"(SST received)"


class ClusterScenario(Scenario):
    refuses_streams = True
    stack: ClusterStack

    def __init__(self, stack: ClusterStack, *, agents: int, seconds: float, say: Callable[[str], None]) -> None:
        super().__init__(stack, agents=agents, seconds=seconds, say=say)
        self.promises = stack.directory / "promises.jsonl"
        self.troubles: list[tuple[str, float]] = []
        token, authority = stack.environment["ADMIN_TOKEN"], stack.certificate
        self.writers = [Writer(stack.url, number=n, token=token, authority=authority) for n in range(WRITERS)]

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._end_writers()

    def _steps(self) -> list[Callable[[], None]]:
        return [
            self._start_database,
            self._prepare,
            self._live,
            self._check_streams,
            self._check_jobs,
            self._check_records,
            self._check_nodes,
        ]

    def _start_database(self) -> None:
        began = time.monotonic()
        self.stack.start_database()
        cluster = self.stack.cluster
        writers = "each machine writes to its own" if self.stack.multi_writer else "one is written to"
        self._check("database nodes", f"{cluster.size}, {writers}, up after {time.monotonic() - began:.0f} s")

    # --- Under load -----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        began = time.monotonic()
        self.fleet = self._start_fleet(*BUSY, "--promises", str(self.promises))
        for one in self.writers:
            one.start()
        self._let_pass(BEFORE_SECONDS)
        first, _, third = self.stack.cluster.nodes
        self._kill_node(first)
        self._return_node(first, gets=MISSED)
        self._kill_node(third, loses_disk=True)
        self._return_node(third, gets=COPIED)
        self._kill_machine()
        left = self.seconds + FLEET_END_SECONDS - (time.monotonic() - began)
        code = self.fleet.wait(within_seconds=max(left, FLEET_END_SECONDS))
        self._end_writers()
        self._check_calls()
        self._check_fleet(read_report(self.fleet.log.read_text(), code))

    def _end_writers(self) -> None:
        for one in self.writers:
            if one.is_alive():
                one.end()

    def _kill_node(self, node: galera.Node, *, loses_disk: bool = False) -> None:
        name = f"{node.name} killed" + (", disk lost" if loses_disk else "")
        self._disturb(name)
        node.kill()
        if loses_disk:
            node.lose_disk()
        self._let_pass(DEAD_SECONDS)
        size = self.stack.cluster.size
        self._check(name, f"{size} nodes are left, {self._met()}", holds=size == "2")

    def _return_node(self, node: galera.Node, *, gets: str) -> None:
        offset = node.log.stat().st_size
        name = f"{node.name} returned"
        self._disturb(name)
        took = node.join()
        got = node.logged_since(offset, gets)
        self._disturb(f"{node.name} in use again")
        self._let_pass(PAUSE_SECONDS)
        how = f"{got} changes (IST)" if gets == MISSED else "a copy (SST)"
        size = self.stack.cluster.size
        detail = f"got {how if got else 'something else than expected'} in {took:.0f} s, {self._met()}"
        self._check(name, detail, holds=size == "3" and bool(got))

    def _kill_machine(self) -> None:
        first, second = self.stack.machines
        first.jobs.stop(within_seconds=JOBS_STOP_SECONDS)  # so that it is the second that has something to lose
        until(
            lambda: len(self._leases_of(second.jobs)) == len(JOBS), what="its jobs go on", within_seconds=LEASE.seconds
        )
        first.jobs.start()
        self._down += second.services
        self._disturb("machine 2 killed")
        second.die()
        took = self._until_all_jobs_run_on(first)
        self._check("machine 2 killed", f"{len(JOBS)} jobs taken over after {took:.1f} s, {self._met()}")
        second.boot()
        self._down.clear()
        self._disturb("machine 2 returned")
        self._let_pass(PAUSE_SECONDS)
        self._check("machine 2 returned", self._met())

    def _until_all_jobs_run_on(self, machine: Machine) -> float:
        return until(
            lambda: len(self._leases_of(machine.jobs)) == len(JOBS),
            what="all jobs go on elsewhere",
            within_seconds=LEASE.total_seconds() + RENEW_SECONDS + 10,
        )

    def _disturb(self, name: str) -> None:
        self.troubles.append((name, time.time()))

    def _met(self) -> str:
        """What calls met since the last trouble."""
        name, at = self.troubles[-1]
        return trouble(name, at, read_calls(self.stack.access_log), seconds=time.time() - at).met

    # --- Afterwards -----------------------------------------------------------------------------------------------

    def _check_calls(self) -> None:
        calls = read_calls(self.stack.access_log)
        troubles = [trouble(name, at, calls, seconds=EXCUSED_SECONDS) for name, at in self.troubles]
        wrong = unexplained(calls, troubles)
        refused = sum(call.failed for call in calls)
        detail = f"{refused} of {len(calls)} with 503, within {EXCUSED_SECONDS:g} s of a death or a return"
        others = f"; otherwise {len(wrong)}: {_listed(wrong)}" if wrong else ""
        self._check("refused calls", detail + others, holds=not wrong)

    def _check_fleet(self, report: FleetReport) -> None:
        """An agent takes a refusal for no answer; what it was told nevertheless must fit what the server knows."""
        self._check("agents' requests", report.size, holds=bool(report.facts))
        if report.errors:
            self._say("      " + "; ".join(report.errors))
        said = "; ".join(report.disagreements)[:600]
        self._check("fleet and server agree", f"{report.events} {said}".strip(), holds=bool(report.facts) and not said)

    def _check_records(self) -> None:
        promises = Promises.recorded_in(self.promises)
        lost = records.lost(promises, self.live)
        self._check("acknowledged to agents", f"{promises.size}{_lost(lost)}", holds=not lost)
        detail, lost = writer.lost(self.writers, self.live)
        self._check("acknowledged to writers", f"{detail}{_lost(lost)}", holds=not lost)
        doubtful = records.doubtful_primaries(self.live)
        self._check("one primary per agent", "; ".join(doubtful[:5]) or "all of them", holds=not doubtful)
        ledger = self.stack.manage("show_ledger", "--check").strip().splitlines()
        self._check("ledger adds up", ledger[-1] if ledger else "")

    def _check_nodes(self) -> None:
        """Nobody writes any more, so all three must hold the same."""
        for machine in self.stack.machines:
            for service in machine.listening:
                service.stop(within_seconds=restarts.STOP_SECONDS)
        cluster = self.stack.cluster
        first, *others = (database.Database(self.live.name, socket=node.socket) for node in cluster.nodes)
        began, odd = time.monotonic(), _differing(first, others)
        while odd and time.monotonic() - began < SETTLE_SECONDS:
            odd = _differing(first, others)
        counts = first.counts()
        refused, ended = galera.conflicts(cluster.nodes)
        lost_races = f"{refused} commits refused, {ended} statements ended by a change from another node"
        detail = f"{sum(counts.values())} rows in {len(counts)} tables; {lost_races}"
        self._check("nodes hold the same", f"{detail}{f'; different: {odd}' if odd else ''}", holds=not odd)


def _differing(first: database.Database, others: list[database.Database]) -> list[str]:
    digests = first.digests()
    return sorted({name for other in others for name in database.different(digests, other.digests())})


def _lost(names: list[str]) -> str:
    return f"; lost: {', '.join(names[:5])}" if names else "; all on record"


def _listed(calls: list[Call]) -> str:
    return ", ".join(f"{call.status} {call.method} {call.path}" for call in calls[:5])
