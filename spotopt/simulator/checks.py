"""The invariants at the end of a run: what the server says against what really happened."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from spotopt.simulator.ec2 import Instance
from spotopt.simulator.orders import Order
from spotopt.simulator.outages import AVOIDABLE, Outage
from spotopt.simulator.world import World

DEADLINE_SECONDS = 45 * 60  # after this an order must have ended, whatever became of its agent
# Of running while the server can be reached: the agent's boot, and a registration that has to be repeated.
KNOWN_WITHIN_SECONDS = 300
FINAL = ("completed", "failed", "superseded", "expired", "cancelled")


class Runner(Protocol):
    """Of the server's management commands (`JobRunner`)."""

    def run(self, name: str, *arguments: str) -> str | None: ...


@dataclass
class Findings:
    """`violations` make the run fail; `unknown` could not be checked against this server."""

    violations: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    one_primary: int = 0  # agents with exactly one primary that is the serving instance
    agents: int = 0
    lost_orders: int = 0
    repeated_switches: int = 0
    known_instances: int = 0
    short_lived: int = 0  # billed, but gone before their agent could register
    orphans: int = 0  # still running, and the server does not know it
    double_launches: int = 0  # requests for a standby that got more than one instance

    def check(self, holds: bool, text: str) -> bool:
        if not holds:
            self.violations.append(text)
        return holds


def check_primaries(world: World, rows: list[dict[str, Any]], findings: Findings) -> None:
    """Each served workload's agent has exactly one primary, and it is the serving instance (agent-api 8.20)."""
    by_id = {row["id"]: row for row in rows}
    primaries = check_single_primaries(rows, findings)
    for workload in world.workloads.values():
        serving = workload.serving
        if serving is None:
            findings.unknown.append(f"{workload.key} is not served at the end")
            continue
        findings.agents += 1
        row = by_id.get(serving.id)
        if findings.check(row is not None, f"{workload.key}: {serving.id} serves but the server does not know it"):
            is_primary = bool(row and row["isPrimary"] and primaries[row["agentId"]] == 1)
            status = row["instanceStatus"] if row else ""
            if findings.check(is_primary, f"{workload.key}: {serving.id} serves but is {status} for the server"):
                findings.one_primary += 1


def check_single_primaries(rows: list[dict[str, Any]], findings: Findings) -> Counter[str]:
    """The number of primaries by agent id: never more than one."""
    primaries = Counter(row["agentId"] for row in rows if row["isPrimary"])
    for agent_id, count in primaries.items():
        findings.check(count == 1, f"agent {agent_id} has {count} primaries")
    return primaries


def check_instances(world: World, rows: list[dict[str, Any]], findings: Findings, *, end: float) -> None:
    """EC2 billed nothing that the server does not know, and nothing runs that the server believes to be gone."""
    by_id = {row["id"]: row for row in rows}
    for instance in list(world.cloud.instances.values()):
        is_running = instance.ended_at is None
        seconds = (end if instance.ended_at is None else instance.ended_at) - instance.running_at
        row = by_id.get(instance.id)
        if seconds <= 0:
            continue
        if row is None and _is_short_lived(world, instance, end):
            findings.short_lived += 1
            continue
        findings.known_instances += row is not None
        name = f"{instance.id} of {instance.owner} ({'running for' if is_running else 'ran'} {seconds:.0f} s)"
        findings.check(row is not None, f"{name} was billed and the server does not know it")
        is_forgotten = is_running and seconds > DEADLINE_SECONDS and (not row or row["instanceStatus"] == "terminated")
        findings.orphans += is_forgotten
        findings.check(row is None or not is_forgotten, f"{name} is terminated for the server")


def _is_short_lived(world: World, instance: Instance, end: float) -> bool:
    until = end if instance.ended_at is None else instance.ended_at
    return world.served_seconds(instance.running_at, until) < KNOWN_WITHIN_SECONDS


def check_launches(world: World, findings: Findings) -> None:
    """No request for a standby was launched twice."""
    for workload in world.workloads.values():
        for replica_id, launched in workload.replica_launches.items():
            is_double = len(set(launched)) > 1
            findings.double_launches += is_double
            findings.check(not is_double, f"replica {replica_id} of {workload.key} was launched {len(launched)} times")


def check_outages(outages: list[Outage], findings: Findings) -> None:
    """Nobody waited where an announced loss left time for a standby."""
    for outage in outages:
        findings.check(outage.kind != AVOIDABLE, str(outage))


def check_promises(world: World, rows: list[dict[str, Any]], findings: Findings) -> None:
    """Whatever was acknowledged must still be known."""
    by_id = {row["id"]: row for row in rows}
    for instance_id in world.promises.registered:
        findings.check(instance_id in by_id, f"registration of {instance_id} was acknowledged and is lost")
    for old_id, new_id in world.promises.switched:
        findings.check(new_id in by_id, f"switch {old_id} → {new_id} was acknowledged, but {new_id} is unknown")
    for instance_id, at in world.promises.terminated.items():
        row = by_id.get(instance_id)
        settled = world.now - at > DEADLINE_SECONDS
        status = row["instanceStatus"] if row else "unknown"
        findings.check(
            not settled or status == "terminated", f"termination of {instance_id} was acknowledged, but it is {status}"
        )


def check_executions(world: World, findings: Findings) -> None:
    """No order was carried out twice."""
    for order in world.orders.all():
        executed_twice = len(set(order.launched)) > 1
        findings.repeated_switches += executed_twice
        findings.check(not executed_twice, f"{order.kind} {order.id} was executed {len(order.launched)} times")


def check_deliveries(world: World, findings: Findings) -> None:
    """Each accepted order was fetched, unless its agent went first."""
    for order in world.orders.all():
        old_enough = world.now - order.accepted_at > DEADLINE_SECONDS
        if order.is_steered and not order.deliveries and old_enough and not _was_overtaken(world, order):
            findings.lost_orders += 1
            findings.check(False, f"{order.kind} {order.id} for {order.workload} was never fetched")


def _was_told(world: World, order: Order, row: dict[str, Any]) -> bool:
    """Agents report once: where the server is away now and then, only what it acknowledged counts."""
    promises = world.promises
    is_told = not {order.id, row["request_id"]}.isdisjoint(promises.executed)
    return not world.outages or is_told or any(new in order.launched for _, new in promises.switched)


def _was_overtaken(world: World, order: Order) -> bool:
    """The instance that it was for went away before it could fetch it, so somebody else serves now."""
    workload = world.workload(order.workload)
    return any(0 <= s.since - order.accepted_at < DEADLINE_SECONDS for s in workload.served[1:]) or any(
        s.until is not None and 0 <= s.until - order.accepted_at < DEADLINE_SECONDS for s in workload.served
    )


def check_records(world: World, runner: Runner, findings: Findings) -> None:
    """The server's own rows of commands and switches, by `dumpdata`."""
    commands = {c["public_id"]: c for c in _rows(runner, "agents.command")}
    by_request = {c["request_id"]: c for c in commands.values() if c.get("request_id")}
    for order in world.orders.all():
        row = commands.get(order.id) or by_request.get(order.id)
        if row is None:
            findings.check(not order.is_steered, f"{order.kind} {order.id} was accepted and is lost")
        elif world.now - order.accepted_at > DEADLINE_SECONDS:
            name = f"{order.kind} {order.id} of {order.workload}"
            findings.check(row["status"] in FINAL, f"{name} is still {row['status']}")
            if order.outcome == "done" and order.kind == "switch" and _was_told(world, order, row):
                findings.check(
                    row["status"] == "completed", f"{name} was executed, but is {row['status']}: {row['message']}"
                )
    for identifier in world.promises.ordered.keys() - {order.id for order in world.orders.all()}:
        findings.check(identifier in commands, f"order {identifier} was accepted and is lost")
    for identifier, success in world.promises.executed.items():
        row = commands.get(identifier) or by_request.get(identifier)
        ended = row is not None and row["status"] in FINAL
        findings.check(ended, f"the result ({success}) of {identifier} was acknowledged and is lost")
    switches = Counter((s["old_instance_id"], s["new_instance_id"]) for s in _rows(runner, "instances.switch"))
    for pair, count in switches.items():
        findings.check(count == 1, f"switch {' → '.join(pair)} is on record {count} times")
    for pair in world.promises.switched:
        findings.check(switches[pair] == 1, f"switch {' → '.join(pair)} was acknowledged and is not on record")


def _rows(runner: Runner, model: str) -> list[dict[str, Any]]:
    output = runner.run("dumpdata", model, "--format", "json")
    return [row["fields"] for row in json.loads(output or "[]")]
