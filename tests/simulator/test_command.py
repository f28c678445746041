"""`manage.py simulate_fleet` with a server that exists only in memory: options, table, verdict and exit code."""

import json
import tempfile
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from spotopt.management.commands import simulate_fleet
from spotopt.simulator.account import account_of
from spotopt.simulator.fleet import Fleet
from tests.simulator.worlds import RecordingTransport, Response

ONE_AGENT = ["--serve", "--agents", "1", "--mix", "v4b=1", "--days", "0.1", "--stretch", "1", "--threads", "1"]
QUIET = ["--mean-life-hours", "0", "--progress-every", "3600"]
SEED_ON_SPOT = "2"  # its one agent starts on spot capacity, so that there are savings
ARGUMENTS = [*ONE_AGENT, *QUIET]


class ServerInMemory:
    """Its list of instances and its ledger are as the test wants them."""

    def __init__(self, **_):
        self.url = "http://server"
        self.missing = {"rollup_savings"}

    def prepare(self):
        return self

    def start(self):
        pass

    def create_client(self, name):
        return "client-1", "token"

    def run(self, name, *_):
        return "[]" if name == "dumpdata" else None  # no ledger either

    def close(self):
        pass

    stop = close


class TransportInMemory(RecordingTransport):
    rows_per_instance = 1

    def answer(self, method, path):
        if "/instances?" in path:
            ids = [body["instance_id"] for body in self.sent("/api/agents/register")]
            rows = [
                {"id": f"{id_}{'-copy' * n}", "agentId": "agent-1", "isPrimary": True, "instanceStatus": "x"}
                for id_ in ids
                for n in range(self.rows_per_instance)
            ]
            return Response(200, rows)
        if "00000000-0000" in path:
            return Response(404, {"code": "AGENT_NOT_FOUND"})
        return super().answer(method, path)


@pytest.fixture
def in_memory(monkeypatch, tmp_path):
    """The class of the server: change what it answers."""
    monkeypatch.setattr(simulate_fleet, "Server", type("Server", (ServerInMemory,), {}))
    monkeypatch.setattr(simulate_fleet, "Transport", type("Transport", (TransportInMemory,), {}))
    monkeypatch.setattr(simulate_fleet, "temporary_directory", lambda: Path(tempfile.mkdtemp(dir=tmp_path)))
    return simulate_fleet


def exit_code_of(*arguments):
    try:
        call_command("simulate_fleet", *arguments)
    except SystemExit as end:
        return end.code
    return 0


def test_a_run_without_violations_ends_with_ok_and_no_error_code(in_memory, capsys):
    call_command("simulate_fleet", *ARGUMENTS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "OK"
    assert any(line.split() == ["agents", "1", "(v4b", "1)"] for line in lines)
    assert any(line.endswith("1 of 1") and line.startswith("agents with exactly one primary") for line in lines)


def test_a_violated_invariant_is_named_and_makes_the_exit_code_one(in_memory, capsys):
    in_memory.Transport.rows_per_instance = 2
    assert exit_code_of(*ARGUMENTS) == 1
    output = capsys.readouterr().out
    assert "VIOLATED agent agent-1 has 2 primaries" in output
    assert "0 of 1" in output
    assert output.splitlines()[-1] == "FAILED"


def test_an_error_of_the_server_is_shown_with_its_request_and_makes_the_exit_code_one(in_memory, capsys, monkeypatch):
    def answer(self, method, path):
        if path.endswith("/config"):
            return Response(500, {"code": "INTERNAL"})
        return TransportInMemory.answer(self, method, path)

    monkeypatch.setattr(in_memory.Transport, "answer", answer)
    assert exit_code_of(*ARGUMENTS) == 1
    output = capsys.readouterr().out
    assert "ERROR config: status 500" in output
    assert "GET /api/agents/agent-1/config" in output
    assert '500 {"code": "INTERNAL"}' in output
    assert output.splitlines()[-1] == "FAILED"


@pytest.mark.parametrize(("factor", "verdict", "code"), [(1.005, "OK", 0), (1.02, "FAILED", 1)])
def test_the_two_accounts_may_differ_by_one_percent(in_memory, capsys, monkeypatch, factor, verdict, code):
    fleets = []

    def make_fleet(*args, **kwargs):
        fleets.append(Fleet(*args, **kwargs))
        return fleets[0]

    def run(self, name, *_):
        """The ledger is the simulator's own account, but for the savings."""
        if name != "show_ledger":
            return ServerInMemory.run(self, name)
        fleet = fleets[0]
        account = account_of(fleet.world, start=fleet.options.start, end=fleet.world.now)
        baseline = account.paid + account.savings * factor
        return json.dumps({"baseline_usd": baseline, "paid_usd": account.paid, "seconds": 3600, "by_role": {}})

    monkeypatch.setattr(in_memory, "Fleet", make_fleet)
    monkeypatch.setattr(in_memory.Server, "run", run)
    assert exit_code_of(*ARGUMENTS, "--seed", SEED_ON_SPOT) == code
    output = capsys.readouterr().out
    assert output.splitlines()[-1] == verdict
    assert f"{factor - 1:.3%} (allowed 1.00%)" in output


def test_a_token_that_the_server_refuses_is_explained(in_memory, monkeypatch):
    refusal = Response(401, {"error": "Invalid client token", "code": "UNAUTHORIZED"})
    monkeypatch.setattr(in_memory.Transport, "answer", lambda self, method, path: refusal)
    with pytest.raises(CommandError, match="does not accept the token: 401 Invalid client token"):
        call_command("simulate_fleet", "--url", "http://server", "--token", "wrong")


# --- Options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Say either --serve, or --url and --token"),
        (["--url", "http://server"], "Say either --serve, or --url and --token"),
        (["--serve", "--mix", "v3=1"], "Unknown dialect v3; there are v4, v2, v4b, v5"),
        (["--serve", "--mix", "v4"], "is not of the form"),
        (["--serve", "--agents", "3"], "3 agents are too few for the 4 dialects"),
        (["--serve", "--start", "soon"], "neither a Unix time nor an ISO date"),
        (["--serve", "--prices", "/nowhere/prices.csv"], "/nowhere/prices.csv cannot be read"),
    ],
)
def test_a_wrong_option_is_explained(arguments, complaint):
    with pytest.raises(CommandError, match=complaint):
        call_command("simulate_fleet", *arguments)


@pytest.mark.parametrize(
    ("mix", "agents", "counts"),
    [
        ("v4=3,v5=1", 8, {"v4": 6, "v5": 2}),
        ("v4=50,v2=15,v4b=15,v5=20", 4, {"v4": 1, "v2": 1, "v4b": 1, "v5": 1}),
        ("v4=50,v2=15,v4b=15,v5=20", 200, {"v4": 100, "v2": 30, "v4b": 30, "v5": 40}),
        ("v4=1,v5=0", 5, {"v4": 5}),
    ],
)
def test_a_mix_is_shared_out_to_exactly_that_many_agents(mix, agents, counts):
    assert simulate_fleet.shares(mix, agents=agents) == counts


def test_a_run_on_a_price_file_starts_at_its_first_full_hour(tmp_path):
    path = tmp_path / "prices.csv"
    rows = [
        f"2021-03-{day:02}T00:30:00Z,us-east-1,us-east-1{zone},t3.medium,0.013" for day in range(1, 5) for zone in "ab"
    ]
    path.write_text("\n".join(["timestamp,region,az,instance_type,price", *rows]))
    given = {"days": 2, "start": None, "prices": path, "ondemand": None, "types": 8, "region": "", "seed": 1}
    book, start = simulate_fleet.choose_prices(given)
    assert start == simulate_fleet.parsed_start("2021-03-01T01:00:00Z")
    assert [pool.id for pool in sorted(book.series)] == ["t3.medium.us-east-1a", "t3.medium.us-east-1b"]
    with pytest.raises(simulate_fleet.BadPrices, match="for the whole run"):
        simulate_fleet.choose_prices(given | {"days": 30})
