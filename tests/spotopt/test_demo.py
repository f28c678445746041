"""`python -m spotopt.demo` as `./dev demo` starts it: a server, its jobs and a small fleet, until Ctrl-C."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ON_MYSQL

pytestmark = pytest.mark.skipif(ON_MYSQL, reason="the demo has a SQLite database of its own, whatever the tests run on")

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90  # migrations included, on a crowded machine
END_SECONDS = 30
CONSOLE = re.compile(r"Console +(\S+) +user (\S+), password (\S+)")


class Demo:
    def __init__(self, directory, port, log):
        self.directory = directory
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command(directory, port, "--agents", "3"), cwd=ROOT, stdout=output, stderr=output
            )

    @property
    def output(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, condition):
        deadline = time.monotonic() + START_SECONDS
        while not (found := condition()):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)
        return found

    def interrupt(self):
        """Ctrl-C. The exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_SECONDS)


@contextmanager
def running_demo(directory, port, log):
    demo = Demo(directory, port, log)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.terminate()
            demo.process.wait(2 * END_SECONDS)


def command(directory, port, *more):
    return [sys.executable, "-m", "spotopt.demo", "--port", str(port), "--directory", str(directory), *more]


def run_to_end(directory, port):
    return subprocess.run(
        command(directory, port), cwd=ROOT, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )


def children_of(demo):
    """{process id: command line} of all that have the demo's directory in their environment."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_one = f"SQLITE_PATH={demo.directory}".encode() in (process / "environ").read_bytes()
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if is_one:
            found[int(process.name)] = line
    return found


def get(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.status


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.slow
def test_the_demo_starts_ends_with_ctrl_c_and_goes_on_with_what_it_has(tmp_path, port):
    directory = tmp_path / "demo"
    with running_demo(directory, port, tmp_path / "first.log") as demo:
        console, user, password = demo.wait_for(lambda: CONSOLE.search(demo.output)).groups()
        assert console == f"http://localhost:{port}/admin/"
        assert user == "operator"
        assert get(f"http://127.0.0.1:{port}/health") == 200
        assert get(f"http://127.0.0.1:{port}/admin/login/") == 200
        demo.wait_for(lambda: " requests (" in demo.output)  # the fleet has begun
        kinds = " ".join(children_of(demo).values())
        assert all(name in kinds for name in ("gunicorn", "run_jobs", "simulate_fleet"))
        assert demo.interrupt() == 0
        assert children_of(demo) == {}
        assert f"Setting up {directory}" in demo.output
        assert "Traceback" not in demo.output

    with running_demo(directory, port, tmp_path / "second.log") as demo:
        again = demo.wait_for(lambda: CONSOLE.search(demo.output))
        assert again.groups() == (console, user, password)
        assert f"Starting again with {directory}" in demo.output
        assert demo.interrupt() == 0
        assert children_of(demo) == {}


def test_what_it_keeps_is_for_its_owner_alone(tmp_path):
    from spotopt.demo.environment import Directory

    variables = Directory(tmp_path / "demo").prepare(host="127.0.0.1", port=5000)
    assert (tmp_path / "demo").stat().st_mode & 0o077 == 0
    assert (tmp_path / "demo" / "env").stat().st_mode & 0o077 == 0
    assert Directory(tmp_path / "demo").prepare(host="127.0.0.1", port=5001) == variables | {"FLASK_PORT": "5001"}


def test_it_always_runs_on_sqlite_and_without_debug(tmp_path):
    from spotopt.demo.environment import Directory, child_environment

    environment = child_environment(Directory(tmp_path).prepare(host="127.0.0.1", port=5000))
    assert environment["DB_HOST"] == ""
    assert environment["DEBUG"] == "false"
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.slow
def test_it_ends_when_a_part_dies_and_says_which(tmp_path, port):
    log = tmp_path / "demo/log/jobs.log"
    with running_demo(tmp_path / "demo", port, tmp_path / "demo.log") as demo:
        demo.wait_for(lambda: log.exists() and "Running" in log.read_text())
        jobs = next(pid for pid, line in children_of(demo).items() if "run_jobs" in line)
        os.kill(jobs, signal.SIGKILL)
        assert demo.process.wait(END_SECONDS) == 1
        assert children_of(demo) == {}
        assert "jobs ended unexpectedly (signal SIGKILL)" in demo.output
        assert "Running sweep_failovers" in demo.output  # the end of its log


@pytest.mark.slow
def test_nothing_outlives_it_when_it_is_killed_outright(tmp_path, port):
    with running_demo(tmp_path / "demo", port, tmp_path / "demo.log") as demo:
        demo.wait_for(lambda: "simulate_fleet" in " ".join(children_of(demo).values()))
        demo.process.kill()
        demo.process.wait()
        deadline = time.monotonic() + END_SECONDS
        while children_of(demo):
            assert time.monotonic() < deadline, children_of(demo)
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_can_be_ended_during_the_set_up(tmp_path, port, number):
    with running_demo(tmp_path / "demo", port, tmp_path / "demo.log") as demo:
        demo.wait_for(lambda: children_of(demo))
        demo.process.send_signal(number)
        assert demo.process.wait(END_SECONDS) == 0
        assert children_of(demo) == {}


@pytest.mark.slow
def test_a_port_that_is_taken_is_explained(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = run_to_end(tmp_path / "demo", port)
    assert ended.returncode == 1
    assert f"demo: 127.0.0.1:{port} cannot be used: Address already in use" in ended.stderr
    assert f"--port {port + 1}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_second_demo_in_the_same_directory_is_refused(tmp_path, port):
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = run_to_end(tmp_path, port)
    assert ended.returncode == 1
    assert f"Another demo runs with {tmp_path} already" in ended.stderr
