"""The progress line and the table at the end."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from spotopt.simulator.account import Account, relative_difference
from spotopt.simulator.checks import Findings
from spotopt.simulator.outages import KINDS, Outage
from spotopt.simulator.reclaims import NOTICE_SECONDS, Reclaims
from spotopt.simulator.world import World

SHOWN_VIOLATIONS = 20
LINE_EVERY_SECONDS = 0.5
NAME_WIDTH = 34


@dataclass(frozen=True)
class Result:
    """Everything that the table shows. `server` is None when the server's ledger could not be read."""

    world: World
    account: Account
    server: Account | None
    findings: Findings
    tolerance: float
    wall_seconds: float
    simulated_seconds: float
    facts: dict[str, object]

    @property
    def difference(self) -> float | None:
        return None if self.server is None else relative_difference(self.account.savings, self.server.savings)

    @property
    def problems(self) -> list[str]:
        found = list(self.findings.violations)
        errors = self.world.transport.counts.errors
        if errors:
            found.insert(0, f"{errors.total()} errors in the server's answers")
        if self.difference is not None and self.difference > self.tolerance:
            found.append(
                f"the two accounts of the savings differ by {self.difference:.2%}, allowed {self.tolerance:.2%}"
            )
        return found

    @property
    def succeeded(self) -> bool:
        return not self.problems


def render(result: Result) -> str:
    world, counts, account, server = result.world, result.world.transport.counts, result.account, result.server
    orders = world.orders.all()
    outcomes = {name: sum(o.outcome == name for o in orders) for name in ("done", "failed", "")}
    mix: dict[str, int] = {}
    for workload in world.workloads.values():
        mix[workload.dialect.dialect] = mix.get(workload.dialect.dialect, 0) + 1
    rows: list[tuple[str, str]] = [
        ("agents", f"{len(world.workloads)} ({', '.join(f'{name} {count}' for name, count in mix.items())})"),
        ("simulated time", f"{result.simulated_seconds / 86400:.2f} days in {result.wall_seconds:.0f} s"),
        ("stretch of idle calls", f"{world.pace.stretch:g}"),
        ("requests", f"{counts.total} ({counts.total / (result.wall_seconds or 1):.0f}/s, p95 {counts.p95_ms} ms)"),
        ("errors", str(counts.errors.total())),
        ("refused as expected", _listed(counts.refused) or "0"),
        ("not available here", _listed(counts.unavailable) or "-"),
        ("unreachable while killed", str(counts.unreachable)),
        ("orders", f"{sum(o.is_steered for o in orders)} accepted, {sum(bool(o.deliveries) for o in orders)} fetched"),
        ("  executed / failed in EC2", f"{outcomes['done']} / {outcomes['failed']}"),
        ("  cut short / lost / repeated", f"{outcomes[''] - result.findings.lost_orders} / "
         f"{result.findings.lost_orders} / {result.findings.repeated_switches}"),
        ("switches", str(sum(w.switches for w in world.workloads.values()))),
        ("interruptions", f"{sum(w.interruptions for w in world.workloads.values())}, "
         f"{sum(w.failovers for w in world.workloads.values())} failovers to a standby"),
        *((name, str(value)) for name, value in result.facts.items()),
        ("agents with exactly one primary", f"{result.findings.one_primary} of {result.findings.agents}"),
        ("", ""),
        ("savings in USD", _money("simulator", account) + (f"   {_money('server', server)}" if server else "")),
    ]  # fmt: skip
    for name, amount in (
        ("  on-demand baseline", "baseline"),
        ("  paid", "paid"),
        ("  of that beside the primary", "overhead"),
        ("  hours of service", "hours"),
    ):
        ours = getattr(account, amount)
        text = f"simulator {ours:12.4f}"
        if server is not None:
            theirs = getattr(server, amount)
            text += f"   server {theirs:12.4f}   {relative_difference(ours, theirs):7.3%}"
        rows.append((name, text))
    verdict = "unknown: the server's ledger cannot be read from here"
    if result.difference is not None:
        verdict = f"{result.difference:.3%} (allowed {result.tolerance:.2%})"
    rows.append(("  difference of the savings", verdict))
    lines = [f"{name:<{NAME_WIDTH}}{text}" for name, text in rows]
    return "\n".join(lines + _failures(result))


def signal_facts(reclaims: Reclaims) -> dict[str, object]:
    total = reclaims.notices + reclaims.missing_notices
    return {
        "  late / missing notices": f"{reclaims.late_notices} / {reclaims.missing_notices} of {total}",
        "  early hints, of them false": f"{reclaims.hints}, {reclaims.false_hints}",
    }


def outage_facts(outages: list[Outage]) -> dict[str, object]:
    """Workloads without a primary for longer than the notice, one row per kind."""
    counts = Counter(outage.kind for outage in outages)
    rows: dict[str, object] = {f"nobody served for over {NOTICE_SECONDS} s": len(outages)}
    return rows | {f"  {kind}": counts[kind] for kind in KINDS}


def instance_facts(world: World, findings: Findings) -> dict[str, object]:
    requests = [launched for workload in world.workloads.values() for launched in workload.replica_launches.values()]
    return {
        "standby requests launched / twice": f"{len(requests)} / {findings.double_launches}",
        "instances known to the server": f"{findings.known_instances}, {findings.short_lived} too short-lived",
        "orphans left running": findings.orphans,
    }


def _money(name: str, account: Account) -> str:
    return f"{name} {account.savings:12.4f}"


def _listed(counter: dict[str, int]) -> str:
    return ", ".join(f"{name} × {count}" for name, count in sorted(counter.items()))


def _failures(result: Result) -> list[str]:
    counts, lines = result.world.transport.counts, [""]
    for kind, count in counts.errors.most_common():
        lines.append(f"ERROR {kind} × {count}")
    for failure in counts.kept:
        lines += [f"  {failure.kind}", f"    request: {failure.request}", f"    answer:  {failure.answer}"]
    lines += [f"NOTE {text}" for text in result.findings.unknown[:SHOWN_VIOLATIONS]]
    lines += [f"VIOLATED {text}" for text in result.problems[:SHOWN_VIOLATIONS]]
    if len(result.problems) > SHOWN_VIOLATIONS:
        lines.append(f"VIOLATED … and {len(result.problems) - SHOWN_VIOLATIONS} more")
    lines.append("OK" if result.succeeded else "FAILED")
    return lines


class Progress:
    """One refreshed line on a terminal; elsewhere a plain line every `every_seconds`."""

    def __init__(self, world: World, *, write: Callable[[str], None], every_seconds: float, is_terminal: bool) -> None:
        self.world = world
        self._write = write
        self._pause = LINE_EVERY_SECONDS if is_terminal else every_seconds
        self._is_terminal = is_terminal
        self._last = (time.monotonic(), 0)

    def __call__(self) -> None:
        at, requests = self._last
        now = time.monotonic()
        if now - at < self._pause:
            return
        counts = self.world.transport.counts
        per_second = (counts.total - requests) / (now - at)
        self._last = (now, counts.total)
        moment = datetime.fromtimestamp(self.world.now, UTC)
        workloads = self.world.workloads.values()
        line = (
            f"{moment:%Y-%m-%d %H:%M:%S}  {counts.total} requests ({per_second:.0f}/s)  "
            f"{counts.errors.total()} errors  {sum(w.switches for w in workloads)} switches  "
            f"{sum(w.interruptions for w in workloads)} interruptions"
        )
        self._write(f"\r{line}\x1b[K" if self._is_terminal else f"{line}\n")

    def finish(self) -> None:
        if self._is_terminal:
            self._write("\n")


def is_terminal() -> bool:
    return sys.stdout.isatty()
