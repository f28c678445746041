"""What must hold after each fault, and at the end. The rules are the simulator's; here is where they get their facts.

What was acknowledged is read from the agents' log, not from their memory, so the check does not need them alive.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from spotopt.simulator import checks
from spotopt.simulator.checks import Runner
from spotopt.simulator.promises import Promises
from spotopt.simulator.report import Result
from spotopt.simulator.server import ServerFailed
from spotopt.simulator.world import World

STUCK_SECONDS = 45 * 60  # after the moment EC2 named, an interruption must have ended one way or the other
OPEN = ("detected", "handling")
# What may fail while the database is away; anything else is a bug.
EXCUSED = re.compile(r"^(django\.db\.utils\.|spotopt\.common\.db\.)?(OperationalError|InterfaceError|_Undone)\b")
ListInstances = Callable[[], list[dict[str, Any]] | None]


@dataclass(frozen=True)
class Invariant:
    name: str
    broken: list[str]

    @property
    def holds(self) -> bool:
        return not self.broken


def after_fault(world: World, *, log: Path, list_instances: ListInstances, runner: Runner) -> list[Invariant]:
    """While the fleet goes on calling: what was acknowledged is read before the server is asked."""
    recorded = replace(world, promises=Promises.recorded_in(log), orders=world.orders.snapshot())
    rows = list_instances()
    findings = [checks.Findings() for _ in range(3)]
    primaries, executions, reports = findings
    if reports.check(rows is not None, "the server's list of instances could not be read"):
        checks.check_single_primaries(rows or [], primaries)
        checks.check_promises(recorded, rows or [], reports)
    checks.check_launches(recorded, executions)
    checks.check_executions(recorded, executions)
    checks.check_records(recorded, runner, reports)
    names = ("one primary per agent", "no command executed twice", "no acknowledged report lost")
    return [Invariant(name, found.violations) for name, found in zip(names, findings, strict=True)]


def at_end(result: Result, *, runner: Runner, logs: Iterable[Path]) -> list[Invariant]:
    """When everything that was begun has had the time to end."""
    counts = result.world.transport.counts
    answers = [f"{kind} × {count}" for kind, count in counts.errors.most_common()]
    answers += [f"{failure.request} → {failure.answer}" for failure in counts.kept[:5]]
    return [
        Invariant("fleet and server agree", result.findings.violations),
        Invariant("no stuck failover", stuck_failovers(runner, now=result.world.now)),
        Invariant("ledger = simulator's account", _differences(result)),
        Invariant("the ledger's sums add up", _ledger_check(runner)),
        Invariant("answers that agents can use", answers),
        Invariant("no failure but the database's", unexcused_failures(logs)),
    ]


def stuck_failovers(runner: Runner, *, now: float) -> list[str]:
    episodes = json.loads(runner.run("dumpdata", "instances.interruptionepisode", "--format", "json") or "[]")
    instances = json.loads(runner.run("dumpdata", "instances.instance", "--format", "json") or "[]")
    stuck = []
    for fields in (row["fields"] for row in episodes):
        since = fields["deadline_at"] or fields["last_reported_at"]
        age = now - datetime.fromisoformat(since).timestamp()
        if fields["status"] in OPEN and age > STUCK_SECONDS:
            stuck.append(f"{fields['kind']} of {fields['instance_id']} is {fields['status']} {age / 60:.0f} min after")
    promoting = [row["fields"] for row in instances if row["fields"]["status"] == "promoting"]
    return stuck + [f"{fields['instance_id']} is still promoting" for fields in promoting]


def unexcused_failures(logs: Iterable[Path]) -> list[str]:
    """Logged exceptions that are not about the database being away."""
    found = set()
    for log in logs:
        with log.open(errors="replace") as lines:
            for line in lines:
                if '"exc_info"' in line and not EXCUSED.match(error := _last_line(json.loads(line)["exc_info"])):
                    found.add(f"{log.name}: {error[:300]}")
    return sorted(found)


def _last_line(traceback: str) -> str:
    return traceback.strip().rpartition("\n")[2]


def _differences(result: Result) -> list[str]:
    if result.difference is None:
        return ["the server's ledger could not be read"]
    if result.difference <= result.tolerance:
        return []
    return [f"savings differ by {result.difference:.2%}, allowed {result.tolerance:.2%}"]


def _ledger_check(runner: Runner) -> list[str]:
    try:
        runner.run("show_ledger", "--check")
    except ServerFailed as failure:
        return [str(failure)]
    return []
