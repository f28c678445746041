"""What is done to the stack, when, and what must hold."""

import json
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spotopt.common.job_leases import LEASE, RENEW_SECONDS
from spotopt.e2e import database, restarts
from spotopt.e2e.fleet_report import FleetReport, read_report
from spotopt.e2e.follower import Follower
from spotopt.e2e.processes import Failed, Service, until
from spotopt.e2e.stack import MANAGE, Stack
from spotopt.management.commands.run_jobs import JOBS

MIX = "v4=50,v2=15,v4b=15,v5=20"
# Moves within minutes; no interruptions, which take longer than the whole run
EVENTFUL = ["--switches-per-day", "200", "--mean-life-hours", "0"]
START_SHARE, FIRST_ORDER_SHARE, FIRST_RESTART_SHARE, QUIET_SHARE = 0.1, 0.25, 0.35, 0.3  # of the run
PAUSE_SECONDS = 5.0  # of load between two restarts
BEHIND_SECONDS = 20  # that a stream may be
FLEET_END_SECONDS = 60


@dataclass(frozen=True)
class Check:
    name: str
    detail: str
    holds: bool


class Scenario:
    refuses_streams = False  # True: streams may be refused for a moment

    def __init__(self, stack: Stack, *, agents: int, seconds: float, say: Callable[[str], None]) -> None:
        self.stack, self.agents, self.seconds, self._say = stack, agents, seconds, say
        self.checks: list[Check] = []
        self.live = database.Database(stack.environment["DB_DATABASE"])
        self.fleet: Service | None = None
        self._down: list[Service] = []  # on purpose

    def run(self) -> None:
        """Stops at the first thing that does not work at all; what holds and what does not is in `checks`."""
        try:
            for step in self._steps():
                step()
        except Failed as failure:
            self._check("stopped here", str(failure), holds=False)
        except Exception:
            self._check("stopped here", traceback.format_exc(), holds=False)

    def _steps(self) -> list[Callable[[], None]]:
        return [self._prepare, self._live, self._check_streams, self._check_jobs, self._check_last_backup]

    def _check(self, name: str, detail: str, *, holds: bool = True) -> None:
        self.checks.append(Check(name, detail, holds))
        self._say(f"{'ok   ' if holds else 'WRONG'} {name}: {detail}")

    # --- Start ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        stack = self.stack
        began = time.monotonic()
        stack.manage("migrate", "--no-input", "--verbosity", "0")
        stack.manage("check", "--deploy", "--fail-level", "WARNING", "--database", "default")
        self.token = stack.manage("create_client", "End to end", "--token-only").strip()
        self.client_id = str(self.live.rows("SELECT public_id FROM clients")[0][0])
        version = self.live.version()
        self._check("database", f"{version}, migrated and checked in {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        stack.start()
        self._check("nginx, web, events", f"healthy through TLS after {time.monotonic() - began:.0f} s")
        for jobs in stack.jobs:
            jobs.start()
        self.newest = self.live.rows("SELECT COALESCE(MAX(id), 0) FROM system_events")[0][0]  # is no longer news
        self.followers = [
            Follower(f"{stack.url}/api/events/stream", token=token, authority=stack.certificate)
            for token in (self.token, stack.environment["ADMIN_TOKEN"])
        ]
        for follower in self.followers:
            follower.start()
        until(lambda: all(f.first_id is not None for f in self.followers), what="the streams open", within_seconds=30)

    # --- Under load -----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        stack, began = self.stack, time.monotonic()
        self.fleet = self._start_fleet()
        self._let_pass(FIRST_RESTART_SHARE * self.seconds)
        web = stack.web
        self._restarted("workers reloaded (HUP)", lambda: restarts.reload_workers(web))
        self._restarted("master replaced (USR2)", lambda: restarts.replace_master(web, pid_file=stack.pid_file))
        stop = restarts.STOP_SECONDS
        self._restarted("web restarted (socket)", lambda: restarts.restart(web, stop_seconds=stop))
        stop = restarts.EVENTS_STOP_SECONDS
        self._restarted("events restarted (socket)", lambda: restarts.restart(stack.events, stop_seconds=stop))
        self._check("jobs taken over", self._kill_jobs())
        self._check_backup_under_load()
        left = self.seconds + FLEET_END_SECONDS - (time.monotonic() - began)
        code = self.fleet.wait(within_seconds=max(left, FLEET_END_SECONDS))
        self._check_fleet(read_report(self.fleet.log.read_text(), code))

    def _start_fleet(self, *options: str) -> Service:
        stack = self.stack
        where = ["--url", stack.url, "--ca", str(stack.certificate), "--token", self.token]
        size = ["--agents", str(self.agents), "--mix", MIX, "--threads", "16", *EVENTFUL]
        shares = {"--start-within": START_SHARE, "--first-order": FIRST_ORDER_SHARE, "--quiet": QUIET_SHARE}
        pace = [f"{option}={share * self.seconds}" for option, share in shares.items()]
        pace += ["--days", str(self.seconds / 86400)]
        command = [*MANAGE, "simulate_fleet", *where, *size, *pace, *options]
        fleet = Service("fleet", command, environment=stack.environment, log=stack.logs / "fleet.log")
        fleet.start()
        return fleet

    def _let_pass(self, seconds: float) -> None:
        """Raises Failed when something that should run has ended."""
        until_then = time.monotonic() + seconds
        while time.monotonic() < until_then:
            for service in (*self.stack.services, self.fleet):
                if service and not service.is_running and service not in self._down:
                    raise Failed(f"{service.name} ended: see {service.log}")
            time.sleep(0.2)

    def _restarted(self, name: str, action: Callable[[], str]) -> None:
        self._check(name, action())
        self._let_pass(PAUSE_SECONDS)

    def _kill_jobs(self) -> str:
        """One of the two dies as a machine does; the other one has to take over what it held."""
        jobs = next((one for one in self.stack.jobs if self._leases_of(one)), None)
        if jobs is None:
            raise Failed(f"The leases of jobs are held by {self._lease_holders()}")
        held = len(self._leases_of(jobs))
        self._down.append(jobs)
        jobs.signal(signal.SIGKILL)
        longest = LEASE.total_seconds() + RENEW_SECONDS
        took = until(
            lambda: len(self._lease_holders()) == len(JOBS) and not self._leases_of(jobs),
            what="all jobs go on elsewhere",
            within_seconds=longest + 10,
        )
        return f"{held} of {len(JOBS)} jobs, {took:.1f} s after SIGKILL (a lease is {LEASE.seconds} s)"

    def _lease_holders(self) -> dict[str, str]:
        return dict(self.live.rows("SELECT name, holder FROM job_leases WHERE until > UTC_TIMESTAMP(6)"))

    def _leases_of(self, jobs: Service) -> list[str]:
        return [name for name, holder in self._lease_holders().items() if f":{jobs.pid}:" in holder]

    def _check_backup_under_load(self) -> None:
        before = self.live.counts()
        began = time.monotonic()
        file = self._backup()
        took = time.monotonic() - began
        after = self.live.counts()
        restored = self._restore(file, "restored_under_load")
        counts = restored.counts()
        # What jobs and expiry delete may shrink; everything else lies between the two looks.
        odd = [name for name, number in counts.items() if not _is_between(before[name], number, after[name])]
        size = f"{file.stat().st_size / 1e6:.1f} MB in {took:.1f} s"
        detail = f"{size}, {sum(counts.values())} rows restored, ledger adds up"
        self._check("backup under load", detail + (f"; odd: {', '.join(odd)}" if odd else ""), holds=not odd)

    def _check_fleet(self, report: FleetReport) -> None:
        said = "; ".join([*report.errors, *report.violations])[:600]
        self._check("agents' requests", report.size, holds=bool(report.facts))
        errors = report.facts.get("errors", "unknown")
        self._check("failed requests of agents", f"{errors} {said}".strip(), holds=errors == "0")
        detail = f"{report.events} {said if report.code else ''}".strip()
        self._check("fleet and server agree", detail, holds=report.code == 0)

    # --- Afterwards -----------------------------------------------------------------------------------------------

    def _check_streams(self) -> None:
        for follower, whose, client in zip(
            self.followers, ("the client's", "the operator's"), (self.client_id, None), strict=True
        ):
            began = time.monotonic()
            while (missing := self._expected(follower, client) - set(follower.seen)) and (
                time.monotonic() - began < BEHIND_SECONDS
            ):
                time.sleep(0.5)
            seen = follower.seen
            surplus = len(seen) - len(self._expected(follower, client))
            in_order = seen == sorted(set(seen))
            detail = (
                f"{len(seen)} events, {len(missing)} lost{_first(missing)}, {surplus} too many, "
                f"{follower.connections} connections"
                + ("" if in_order else ", out of order")
                + "".join(f"; {text}" for text in follower.refusals[:3])
            )
            refused = bool(follower.refusals) and not self.refuses_streams
            holds = bool(seen) and not missing and surplus == 0 and in_order and not refused
            self._check(f"stream: {whose}", detail, holds=holds)

    def _expected(self, follower: Follower, client_id: str | None) -> set[int]:
        from notifications.stream.frames import STREAMED  # needs Django

        kinds = ", ".join(["%s"] * len(STREAMED))
        whose, values = ("", [])
        if client_id:
            whose = " AND (c.public_id = %s OR (e.client_id IS NULL AND e.event_type = 'notification'))"
            values = [client_id]
        statement = (
            f"SELECT e.id FROM system_events e LEFT JOIN clients c ON c.id = e.client_id "  # noqa: S608
            f"WHERE e.id > %s AND e.event_type IN ({kinds}){whose}"
        )
        after = max(follower.first_id or 0, self.newest)
        return {row[0] for row in self.live.rows(statement, after, *STREAMED, *values)}

    def _check_jobs(self) -> None:
        status = json.loads(self.stack.manage("status", "--json", codes=(0, 1)))
        problems = status["problems"]
        self._check("status", "; ".join(problems) or "all is well", holds=not problems)
        for jobs in self.stack.jobs:
            if jobs not in self._down:
                took = jobs.stop(within_seconds=60)
                left = sorted(self._leases_of(jobs))
                detail = f"in {took:.1f} s, leases {f'still held: {left}' if left else 'given back'}"
                self._check("jobs stopped", detail, holds=not left)

    def _check_last_backup(self) -> None:
        """Nobody writes any more, so both sides must be the same to the byte."""
        for service in (self.stack.web, self.stack.events):
            service.stop(within_seconds=restarts.STOP_SECONDS)
        file = self._backup()
        restored = self._restore(file, "restored")
        odd = database.different(self.live.digests(), restored.digests())
        counts = restored.counts()
        detail = (
            f"{sum(counts.values())} rows in {len(counts)} tables, every one the same"
            if not odd
            else f"different: {', '.join(odd)}"
        )
        self._check("backup restored", detail, holds=not odd)

    def _backup(self) -> Path:
        said = self.stack.manage("backup", str(self.stack.backups))
        return Path(said.partition(" (")[0])

    def _restore(self, file: Path, name: str) -> database.Database:
        restored = database.create(name)
        self.stack.manage("restore", str(file), database=name)
        self.stack.manage("migrate", "--check", database=name)
        self.stack.manage("check", "--database", "default", "--fail-level", "WARNING", database=name)
        self.stack.manage("show_ledger", "--check", database=name)
        return restored


def _is_between(before: int, number: int, after: int) -> bool:
    return min(before, after) <= number <= max(before, after)


def _first(ids: set[int]) -> str:
    return f" (from {min(ids)} to {max(ids)})" if ids else ""
