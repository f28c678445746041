"""`./dev demo` as a person meets it: it comes up, shows where to look, and leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from django.conf import settings

from tests.conftest import ON_MYSQL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ON_MYSQL, reason="the demo has a SQLite database of its own, whatever the tests run on"),
]

PATIENCE_SECONDS = 60


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def descendants(pid):
    """Every process below `pid`, at any depth."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""  # it ended meanwhile


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


class Demo:
    def __init__(self, directory, port):
        self.output, self.url = directory.parent / f"output-{port}", f"http://127.0.0.1:{port}"
        options = ["--directory", str(directory), "--port", str(port), "--agents", "4"]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spotopt.demo", *options], cwd=settings.BASE_DIR, stdout=output, stderr=output
            )
        self.pids = []

    @property
    def text(self):
        return self.output.read_text()

    def is_up(self):
        """Server, jobs and fleet: the fleet is started last."""
        assert self.process.poll() is None, self.text
        self.pids = descendants(self.process.pid)
        return any("simulate_fleet" in command_of(pid) for pid in self.pids)

    def is_serving(self):
        return self.is_up() and re.search(r"[1-9]\d* requests", self.text)

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def everything_is_gone(self):
        return not any(is_running(pid) for pid in self.pids)


@pytest.fixture
def start(tmp_path):
    started = []

    def start_demo(port=None):
        demo = Demo(tmp_path / "demo", port or free_port())
        started.append(demo)
        return demo

    yield start_demo
    for demo in started:
        demo.process.kill()
        demo.process.wait()
        for pid in filter(is_running, demo.pids):
            os.kill(pid, signal.SIGKILL)


def password_in(text):
    return re.search(r"user operator, password (\S+)", text)[1]


def test_it_comes_up_ends_on_ctrl_c_and_goes_on_from_there(start, tmp_path):
    first = start()
    wait_until(first.is_serving)
    with urllib.request.urlopen(f"{first.url}/health") as answer:
        assert answer.status == 200
    assert len(first.pids) >= 4  # gunicorn and its workers, jobs, fleet
    text = first.text
    assert "Setting up" in text
    assert "/admin/" in text
    assert first.end() == 0
    assert first.everything_is_gone()
    assert "Stopped" in first.text
    assert (tmp_path / "demo/env").stat().st_mode & 0o077 == 0

    second = start()
    wait_until(second.is_up)
    assert "Starting again" in second.text
    assert password_in(second.text) == password_in(text)
    assert second.end(signal.SIGTERM) == 0
    assert second.everything_is_gone()


def test_it_ends_when_a_part_dies_and_says_which(start, tmp_path):
    demo = start()
    wait_until(demo.is_up)
    jobs = next(pid for pid in demo.pids if "run_jobs" in command_of(pid))
    wait_until(lambda: "Running" in (tmp_path / "demo/log/jobs.log").read_text())
    os.kill(jobs, signal.SIGKILL)
    assert demo.process.wait(PATIENCE_SECONDS) == 1
    assert demo.everything_is_gone()
    assert "jobs ended unexpectedly (signal SIGKILL)" in demo.text
    assert "Running sweep_failovers" in demo.text  # the end of its log


def test_nothing_outlives_it_when_it_is_killed_outright(start):
    demo = start()
    wait_until(demo.is_up)
    demo.process.kill()
    wait_until(demo.everything_is_gone)


def test_ctrl_c_during_the_set_up_ends_it_too(start, tmp_path):
    demo = start()
    wait_until((tmp_path / "demo/log/migrate.log").exists)
    demo.pids = descendants(demo.process.pid)
    assert demo.end() == 0
    assert demo.everything_is_gone()


def test_a_port_in_use_is_named_with_a_way_out(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        demo = start(port)
        assert demo.process.wait(PATIENCE_SECONDS) == 1
    assert f"127.0.0.1:{port} cannot be used" in demo.text
    assert f"--port {port + 1}" in demo.text


def test_two_demos_do_not_share_a_directory(start):
    first = start()
    wait_until(lambda: (first.output.parent / "demo/lock").exists() and "Setting up" in first.text)
    second = Demo(first.output.parent / "demo", free_port())
    assert second.process.wait(PATIENCE_SECONDS) == 1
    assert "Another demo runs" in second.text
    assert first.process.poll() is None
