"""The parts of `./dev cluster` that decide what counts as lost; the whole is run by hand, it takes minutes."""

import re
import shutil
import subprocess

import pytest
from django.conf import settings

from spotopt.cluster import galera, haproxy, records
from spotopt.cluster.access import Call, read_calls, trouble, unexplained
from spotopt.e2e.fleet_report import read_report
from spotopt.simulator.promises import Promises

DEPLOY = settings.BASE_DIR / "deploy"
GALERA, HAPROXY = (DEPLOY / "galera.cnf").read_text(), (DEPLOY / "haproxy.cfg").read_text()


# --- The files of deploy/ -------------------------------------------------------------------------------------------


def node_options(number, *, directory, multi_writer=False):
    text = galera.configuration(
        GALERA, network="127.9.8", number=number, directory=directory, copy_port=4711, multi_writer=multi_writer
    )
    return dict(re.findall(r"^(\w+) = (.+)$", text, re.MULTILINE))


def test_each_node_has_the_documented_options_with_its_own_name_and_address(tmp_path):
    options = node_options(2, directory=tmp_path)
    assert (options["wsrep_node_name"], options["wsrep_node_address"]) == ("db2", "127.9.8.12")
    assert options["bind_address"] == "127.9.8.12"
    assert options["wsrep_cluster_address"] == "gcomm://127.9.8.11,127.9.8.12,127.9.8.13"
    assert "listen_addr=tcp://127.9.8.12:4567" in options["wsrep_provider_options"]
    assert options["datadir"] == f"{tmp_path}/data"
    assert "10.0.0" not in str(options)


def test_ids_have_gaps_only_where_several_nodes_are_written_to(tmp_path):
    assert node_options(1, directory=tmp_path)["wsrep_auto_increment_control"] == "OFF"
    assert node_options(1, directory=tmp_path, multi_writer=True)["wsrep_auto_increment_control"] == "ON"


def test_while_nodes_agree_on_a_death_no_lock_wait_times_out():
    (seconds,) = re.findall(r"evs\.suspect_timeout=PT(\d+)S", GALERA)
    (limit,) = re.findall(r"innodb_lock_wait_timeout=(\d+)", (settings.BASE_DIR / "spotopt/settings.py").read_text())
    assert int(seconds) + 1 < int(limit)


@pytest.mark.parametrize("preferred", ["db1", "db2"])
def test_one_node_is_written_to_and_the_others_stand_by(preferred):
    text = haproxy.configuration(HAPROXY, network="127.9.8", address="127.9.8.21", prefers=preferred)
    servers = dict(re.findall(r"^    server (\w+) \S+ (.*)$", text, re.MULTILINE))
    assert {name for name, options in servers.items() if options == "backup"} == servers.keys() - {preferred}
    assert len(servers) == 3
    assert "bind 127.9.8.21:3306" in text


def test_the_health_check_sends_whole_packets_of_the_mysql_protocol():
    sent = [bytes.fromhex(text) for text in re.findall(r"send-binary ([0-9a-f]+)", HAPROXY)]
    assert all(int.from_bytes(packet[:3], "little") == len(packet) - 4 for packet in sent)
    login, statement, farewell = sent
    assert login.endswith(b"haproxy\0\0")
    assert statement[4:] == b"\x03DO 1"
    assert farewell[4:] == b"\x01"


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
def test_haproxy_takes_the_file(tmp_path):
    file = tmp_path / "haproxy.cfg"
    file.write_text(HAPROXY)
    assert subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, check=False).returncode == 0


# --- What calls met -------------------------------------------------------------------------------------------------

LOG = """100.5 200 0.020 POST /api/agents/a/heartbeat
103.0 200 0.010 GET /api/agents/a/config
101.0 503 0.400 POST /api/agents/a/pricing-report
104.5 201 3.500 POST /api/agents/a/switch-report
104.6 200 90.0 GET /api/events/stream
109.0 500 0.010 GET /api/agents/a/config
140.0 503 0.0"""


@pytest.fixture
def calls(tmp_path):
    log = tmp_path / "calls.log"
    log.write_text(LOG)
    return read_calls(log)


def test_calls_come_in_order_without_streams_and_half_lines(calls):
    assert [call.at for call in calls] == [100.5, 101.0, 103.0, 104.5, 109.0]


def test_a_trouble_tells_what_calls_met(calls):
    met = trouble("db1 killed", 100.0, calls, seconds=5).met
    assert met == ("1 of 4 calls refused (1.0 to 1.0 s later), slowest answer 3.5 s, no write acknowledged for 4.0 s")


def test_only_a_503_soon_after_a_trouble_is_excused(calls):
    late = Call(at=120.0, status=503, seconds=0.1, method="GET", path="/api/agents/late")
    peoples = Call(at=120.0, status=503, seconds=0.1, method="GET", path="/api/client/agents")
    given_up = Call(at=102.0, status=499, seconds=30.0, method="GET", path="/given-up")
    troubles = [trouble("db1 killed", 100.0, calls, seconds=10)]
    wrong = unexplained([*calls, late, peoples, given_up], troubles)
    assert {call.status for call in wrong} == {500, 503, 499}
    assert [call.path for call in wrong if call.status == 503] == ["/api/agents/late"]


def test_a_refused_call_is_no_disagreement():
    said = """errors                            2
switches                          7
ERROR heartbeat: status 503 × 2
VIOLATED 2 errors in the server's answers
VIOLATED switch a → b was acknowledged, but b is unknown
FAILED"""
    report = read_report(said, 1)
    assert report.errors == ["heartbeat: status 503 × 2"]
    assert report.disagreements == ["switch a → b was acknowledged, but b is unknown"]


# --- What is on record ----------------------------------------------------------------------------------------------


class Tables:
    def __init__(self, **rows):
        self._rows = rows

    def rows(self, statement):
        (table,) = re.findall(r"FROM (\w+)", statement)
        return self._rows.get(table, [])


@pytest.fixture
def promises():
    promises = Promises()
    promises.register("i-1", "agent")
    promises.switch("i-1", "i-2", "agent")
    promises.terminate("i-1", at=100.0)
    promises.order("order", at=100.0)
    promises.execute("request", success=True)
    return promises


def kept(**instead):
    tables = {
        "instances": [("i-1", "terminated"), ("i-2", "running_primary")],
        "switches": [("i-1", "i-2")],
        "commands": [("order", "request", "completed")],
    }
    return Tables(**tables | instead)


def test_nothing_is_lost_when_everything_is_on_record(promises):
    assert records.lost(promises, kept()) == []


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"instances": [("i-1", "running_primary")]}, ["termination of i-1, which is running_primary"]),
        ({"instances": []}, ["registration of i-1", "termination of i-1, which is unknown"]),
        ({"switches": []}, ["switch i-1 → i-2, on record 0 times"]),
        ({"switches": [("i-1", "i-2")] * 2}, ["switch i-1 → i-2, on record 2 times"]),
        ({"commands": []}, ["order order", "result of order request"]),
        ({"commands": [("order", "request", "delivered")]}, ["result of order request"]),
    ],
)
def test_what_was_acknowledged_and_is_not_on_record_is_named(promises, missing, words):
    assert records.lost(promises, kept(**missing)) == words
