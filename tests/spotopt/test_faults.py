"""The parts of `./dev faults`, each rule of its checker on a broken world, and one short seed for real."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading

import pytest
import requests
from django.conf import settings
from django.db import connection

from spotopt.faults import invariants
from spotopt.faults.catalogue import FAULTS, drawn
from spotopt.faults.deployment import WrongClock
from spotopt.faults.proxy import Proxy
from spotopt.faults.wire import UnreliableTransport
from spotopt.simulator import checks
from spotopt.simulator.promises import Promises
from spotopt.simulator.server import ServerFailed
from tests.simulator.test_checks import Records, command_row, row_of
from tests.simulator.worlds import POOL_B, Response, make_world, run_for, serving_workload

LONG_AGO = 2 * checks.DEADLINE_SECONDS
RETRY_AFTER = {"Retry-After": "5"}


# --- What was acknowledged outlives its simulator -------------------------------------------------------------------


def test_a_promise_is_on_file_before_its_agent_acts_on_it(tmp_path):
    log = tmp_path / "promises"
    promises = Promises(log=log)
    promises.register("i-1", "agent-1")
    promises.switch("i-1", "i-2", "agent-1")
    promises.terminate("i-1", 7.0)
    promises.execute("command-1", success=True)
    promises.order("command-1", 5.0)
    found = Promises.recorded_in(log)  # nobody closed the file: its writer may as well be dead
    assert found.registered == {"i-1": "agent-1"}
    assert found.switched == {("i-1", "i-2"): "agent-1"}
    assert found.terminated == {"i-1": 7.0}
    assert found.executed == {"command-1": True}
    assert found.ordered == {"command-1": 5.0}
    promises.close()


def test_a_line_that_was_cut_off_is_no_promise(tmp_path):
    log = tmp_path / "promises"
    promises = Promises(log=log)
    promises.register("i-1", "agent-1")
    promises.close()
    with log.open("a") as file:
        file.write('{"promise": "register", "instance_id": "i-2", "ag')
    assert Promises.recorded_in(log).registered == {"i-1": "agent-1"}


# --- The checker fails where something is wrong ---------------------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    world = make_world()
    world.promises = Promises(log=tmp_path / "promises")
    yield world
    world.promises.close()


@pytest.fixture
def workload(world):
    return serving_workload(world)


def after_fault(world, *, rows, **records):
    found = invariants.after_fault(
        world, log=world.promises.log, list_instances=lambda: rows, runner=Records(**records)
    )
    return {invariant.name: invariant.broken for invariant in found if not invariant.holds}


def test_a_sound_world_breaks_no_invariant(world, workload):
    assert after_fault(world, rows=[row_of(workload.serving)]) == {}


def test_two_primaries_break_an_invariant(world, workload):
    other = workload.launch(pool=POOL_B, mode="spot", surely=True)
    broken = after_fault(world, rows=[row_of(workload.serving), row_of(other)])
    assert broken == {"one primary per agent": ["agent agent-1 has 2 primaries"]}


def test_an_order_that_was_carried_out_twice_breaks_an_invariant(world, workload):
    order = world.orders.deliver("command-1", workload="web", kind="switch", instance_id="i-1", at=world.now)
    order.launched += ["i-3", "i-4"]
    broken = after_fault(world, rows=[row_of(workload.serving)], command=[command_row()])
    assert broken == {"no command executed twice": ["switch command-1 was executed 2 times"]}


def test_a_standby_that_was_launched_twice_breaks_an_invariant(world, workload):
    workload.replica_launches["replica-1"] = ["i-3", "i-4"]
    broken = after_fault(world, rows=[row_of(workload.serving)])
    assert broken == {"no command executed twice": ["replica replica-1 of web was launched 2 times"]}


@pytest.mark.parametrize(
    ("promise", "lost"),
    [
        (lambda p: p.register("i-9", "agent-1"), "registration of i-9 was acknowledged and is lost"),
        (lambda p: p.execute("command-9", success=True), "the result (True) of command-9 was acknowledged and is lost"),
        (lambda p: p.order("command-9", 1.0), "order command-9 was accepted and is lost"),
        (lambda p: p.terminate("i-9", 1.0), "termination of i-9 was acknowledged, but it is unknown"),
    ],
)
def test_whatever_was_acknowledged_and_is_gone_breaks_an_invariant(world, workload, promise, lost):
    promise(world.promises)
    world.promises.registered.clear()  # memory is not what is asked
    assert after_fault(world, rows=[row_of(workload.serving)]) == {"no acknowledged report lost": [lost]}


def test_an_acknowledged_switch_that_is_not_on_record_breaks_an_invariant(world, workload):
    world.promises.switch("i-old", workload.serving.id, "agent-1")
    rows = [row_of(workload.serving)]
    assert set(after_fault(world, rows=rows)) == {"no acknowledged report lost"}
    on_record = [{"old_instance_id": "i-old", "new_instance_id": workload.serving.id}]
    assert after_fault(world, rows=rows, switch=on_record) == {}


def test_a_server_that_does_not_list_its_instances_breaks_an_invariant(world):
    broken = after_fault(world, rows=None)
    assert broken == {"no acknowledged report lost": ["the server's list of instances could not be read"]}


def episode(**changes):
    fields = {"kind": "termination-notice", "instance_id": "i-1", "status": "handling"}
    return fields | {"deadline_at": "2026-01-05T12:02:00Z", "last_reported_at": "2026-01-05T12:00:00Z"} | changes


def test_an_interruption_that_never_ends_is_stuck(world):
    records = Records(interruptionepisode=[episode()])
    assert invariants.stuck_failovers(records, now=world.now) == []
    run_for(world, LONG_AGO)
    (stuck,) = invariants.stuck_failovers(records, now=world.now)
    assert stuck == "termination-notice of i-1 is handling 88 min after"
    assert invariants.stuck_failovers(Records(interruptionepisode=[episode(status="resolved")]), now=world.now) == []


def test_an_instance_that_is_promoted_for_ever_is_stuck(world):
    records = Records(instance=[{"instance_id": "i-1", "status": "promoting"}])
    assert invariants.stuck_failovers(records, now=world.now) == ["i-1 is still promoting"]


def logged(path, error):
    path.write_text(json.dumps({"level": "ERROR", "exc_info": f"Traceback …\n  File …\n{error}"}) + "\nplain text\n")
    return path


def test_only_the_database_s_absence_excuses_a_failure(tmp_path):
    away = logged(tmp_path / "web.log", "django.db.utils.OperationalError: (2006, 'Server has gone away')")
    bug = logged(tmp_path / "jobs.log", "KeyError: 'agent'")
    assert invariants.unexcused_failures([away, bug]) == ["jobs.log: KeyError: 'agent'"]


class Result:
    def __init__(self, world, *, difference, violations=()):
        self.world, self.difference, self.tolerance = world, difference, 0.01
        self.findings = checks.Findings(violations=list(violations))


class SoundRecords(Records):
    ledger_adds_up = True

    def run(self, name, *arguments):
        if name != "show_ledger":
            return super().run(name, *arguments)
        if not self.ledger_adds_up:
            raise ServerFailed("show_ledger failed: the sums differ")
        return "All sums agree with the ledger."


def at_end(result, *, runner=None):
    found = invariants.at_end(result, runner=runner or SoundRecords(), logs=[])
    return {invariant.name: invariant.broken for invariant in found if not invariant.holds}


def test_accounts_that_agree_break_no_invariant(world):
    assert at_end(Result(world, difference=0.01)) == {}


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.011, "savings differ by 1.10%, allowed 1.00%"), (None, "the server's ledger could not be read")],
)
def test_accounts_that_differ_break_an_invariant(world, difference, text):
    assert at_end(Result(world, difference=difference)) == {"ledger = simulator's account": [text]}


def test_a_ledger_whose_sums_are_wrong_breaks_an_invariant(world):
    runner = SoundRecords()
    runner.ledger_adds_up = False
    assert set(at_end(Result(world, difference=0.0), runner=runner)) == {"the ledger's sums add up"}


def test_violations_of_the_fleet_and_answers_that_agents_cannot_use_break_invariants(world):
    world.transport.complain("heartbeat: status 500", "boom")
    broken = at_end(Result(world, difference=0.0, violations=["web: i-1 serves but is zombie for the server"]))
    assert set(broken) == {"fleet and server agree", "answers that agents can use"}


# --- The network ----------------------------------------------------------------------------------------------------


class Chance(random.Random):
    """Says what it is told to."""

    def __init__(self, value):
        super().__init__(0)
        self.value = value

    def random(self):
        return self.value

    def uniform(self, low, high):
        return 0.0


class Wire:
    """Stands for a session: counts what arrives."""

    trust_env, headers, cookies, adapters = False, {}, {}, {}

    def __init__(self, status=200, body=None, headers=None):
        self.arrived = []
        self.response = Response(status, body or {"success": True})
        self.response.headers, self.response.ok = headers or {}, status < 300

    def request(self, method, url, **_):
        self.arrived.append((method, url))
        return self.response


def unreliable(fate):
    transport = UnreliableTransport("http://server", token="t", rng=Chance(fate))
    transport.disturb(1.0)
    return transport


def call(transport, wire, method="POST"):
    return transport.call(wire, method, "/api/x", {}, kind="report")


def test_a_call_may_arrive_twice(monkeypatch):
    transport, wire = unreliable(0.5), Wire()
    assert call(transport, wire).ok
    assert (len(wire.arrived), transport.repeated) == (2, 1)


def test_an_answer_may_be_lost_although_the_call_arrived():
    transport, wire = unreliable(0.3), Wire()
    assert call(transport, wire, "GET").status == 0
    assert (len(wire.arrived), transport.lost, transport.counts.errors) == (1, 1, {})


@pytest.mark.parametrize(("fate", "status", "at_first"), [(0.1, 0, 0), (0.9, 200, 1)])
def test_a_call_may_arrive_late_or_once_more_behind_others(monkeypatch, fate, status, at_first):
    wire = Wire()
    monkeypatch.setattr(requests, "Session", lambda: wire)
    transport = unreliable(fate)
    transport._rng.uniform = lambda low, high: 0.05
    assert call(transport, wire).status == status
    assert len(wire.arrived) == at_first
    transport.settle()
    assert (len(wire.arrived), transport.late) == (at_first + 1, 1)


def test_an_absent_server_may_say_503_with_retry_after_and_nothing_else():
    transport = unreliable(1.0)
    call(transport, Wire(503, {"code": "UNAVAILABLE"}, RETRY_AFTER))
    assert transport.counts.errors == {}
    call(transport, Wire(503, {"code": "UNAVAILABLE"}))
    assert transport.counts.errors == {"503 without Retry-After": 1}
    call(transport, Wire(404, {"code": "AGENT_NOT_FOUND"}))
    assert transport.counts.errors["report: status 404"] == 1
    transport.settle()
    call(transport, Wire(503, {"code": "UNAVAILABLE"}, RETRY_AFTER))
    assert transport.counts.errors["report: status 503"] == 1


# --- The proxy ------------------------------------------------------------------------------------------------------


@pytest.fixture
def echo():
    """The port of a server that says everything again."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=say_again, args=[sock], daemon=True).start()

    def say_again(sock):
        with sock:
            while data := sock.recv(1000):
                sock.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def proxy(echo):
    proxy = Proxy(echo)
    yield proxy
    proxy.end()


@pytest.fixture
def line(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as sock:
        yield sock


def test_the_proxy_lets_everything_pass_until_it_is_told_otherwise(proxy, line):
    line.sendall(b"SELECT 1")
    assert line.recv(100) == b"SELECT 1"
    proxy.order("swallow")
    line.sendall(b"SELECT 2")
    line.settimeout(0.3)
    with pytest.raises(TimeoutError):
        line.recv(100)
    proxy.order("pass")
    line.settimeout(5)
    assert line.recv(100) == b"SELECT 2"  # late, but whole


def test_the_proxy_cuts_connections_and_takes_new_ones(proxy, line):
    line.sendall(b"SELECT 1")
    line.recv(100)
    proxy.order("cut")
    assert line.recv(100) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as another:
        another.sendall(b"SELECT 2")
        assert another.recv(100) == b"SELECT 2"


def test_the_proxy_refuses_all_connections(proxy):
    proxy.order("refuse")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as sock:
        assert sock.recv(100) == b""


# --- Seeds and clocks -----------------------------------------------------------------------------------------------


def test_a_seed_always_draws_the_same_and_twenty_seeds_leave_nothing_out():
    assert drawn(3, 4) == drawn(3, 4)
    assert {name for seed in range(1, 21) for name in drawn(seed, 4)} == set(FAULTS)
    assert all(len(set(drawn(seed, 4))) == 4 for seed in range(1, 21))


def test_a_clock_that_was_stepped_goes_on_from_there(tmp_path, settings):
    from spotopt.common import clock

    wrong = WrongClock(tmp_path / "clock", at=1000.0)
    settings.SIMULATED_CLOCK_FILE = str(wrong.path)
    wrong.step(-600.0)
    wrong.set(1010.0)
    assert clock.now().timestamp() == 410.0
    wrong.step(0.0)
    assert clock.now().timestamp() == 1010.0


# --- A full disk under SQLite ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="MariaDB's full disk is one of the faults of a seed")
def test_a_full_disk_is_503_and_passes(tenant_api):
    with connection.cursor() as cursor:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        calls = (register(tenant_api, number) for number in range(200))  # free room inside the file is used up first
        refusal = next(answer for answer in calls if answer.status_code != 200)
        cursor.execute("PRAGMA max_page_count = 1073741823")
    assert (refusal.status_code, refusal.json()["code"]) == (503, "UNAVAILABLE")
    assert refusal["Retry-After"]
    assert register(tenant_api, 200).status_code == 200


def register(api, number):
    body = {"logical_agent_id": f"web-{number}", "instance_id": f"i-{number}", "instance_type": "t3.medium"}
    body |= {"region": "us-east-1", "az": "us-east-1a", "mode": "spot", "agent_version": "4.0.0"}
    return api.post("/api/agents/register", body)


# --- One short seed, for real ---------------------------------------------------------------------------------------


# Six hours of peace are few to compare savings over, hence the tolerance; `./dev faults` itself takes a day.
SMALL = ("--agents", "10", "--calm-days", "0.25", "--tolerance", "0.03")


@pytest.mark.slow
@pytest.mark.mysql
@pytest.mark.skipif(not shutil.which("mariadb-install-db"), reason="needs a MariaDB of its own to kill")
def test_nothing_is_lost_when_database_and_server_are_killed_under_load():
    kills = [part for name in ("database_killed", "server_killed") for part in ("--only", name)]
    run = subprocess.run(
        [sys.executable, "-m", "spotopt.faults", "--seed", "7", *SMALL, *kills],
        cwd=settings.BASE_DIR,
        env=os.environ | {"DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 of 1 seeds passed" in run.stdout
