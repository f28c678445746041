"""Several processes, one /metrics: gunicorn's workers, those that ended, and the directory they share."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from django.conf import settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from spotopt.monitoring import files

PATIENCE = 60  # seconds, on a crowded machine
WORKER = (
    "import sys\nfrom prometheus_client import *\nc, h = Counter('c', '', ['x']), Histogram('h', '', buckets=[1, 2])\n"
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv(files.VARIABLE, "")  # so that it is put back
    monkeypatch.setattr(files, "_owners", [])


@pytest.fixture
def directory(tmp_path):
    return files.open_directory(tmp_path)


def worked(directory, code):
    """The id of a process that counted and ended."""
    environment = os.environ | {files.VARIABLE: str(directory)}
    process = subprocess.Popen([sys.executable, "-c", WORKER + code], env=environment)
    assert process.wait(PATIENCE) == 0
    return process.pid


def told(directory):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_what_ended_workers_counted_is_kept_in_one_file(directory):
    pids = [worked(directory, f"c.labels('a').inc({number}); h.observe({number})") for number in (1, 2, 3)]
    before = sorted(told(directory))
    assert 'c_total{x="a"} 6.0' in before
    for pid in pids:
        files.retire(pid)
    assert sorted(told(directory)) == before
    assert sorted(file.name for file in directory.glob("*.db")) == ["counter_0.db", "histogram_0.db"]


def test_a_worker_that_counted_nothing_is_forgotten(directory):
    files.retire(12345)
    assert list(directory.glob("*.db")) == []


def test_what_was_left_half_written_does_not_spoil_the_rest(directory):
    files.retire(worked(directory, "c.labels('a').inc()"))
    (directory / "counter_77.db").write_bytes(struct.pack("iiii", 64, 0, 9999, 0) + bytes(48))
    with pytest.raises(RuntimeError, match="corrupted"):
        files.retire(77)
    assert 'c_total{x="a"} 1.0' in told(directory)


def test_a_directory_that_was_left_behind_is_removed_one_in_use_is_not(tmp_path):
    first = files.open_directory(tmp_path)
    second = files.open_directory(tmp_path)
    assert first.is_dir()
    os.close(files._owners[0])  # as when its master was killed
    third = files.open_directory(tmp_path)
    assert [first.is_dir(), second.is_dir(), third.is_dir()] == [False, True, True]


def test_it_is_removed_at_the_end(directory):
    files.close_directory()
    assert not directory.exists()
    assert files.VARIABLE not in os.environ


class Server:
    def __init__(self, sqlite):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        variables = {"FLASK_HOST": "127.0.0.1", "FLASK_PORT": str(port), "WEB_CONCURRENCY": "2", "DEBUG": "true"}
        variables |= {"DB_HOST": "", "SQLITE_PATH": str(sqlite), "METRICS_TOKEN": "", "METRICS_NETWORKS": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "spotopt.wsgi"],
            cwd=settings.BASE_DIR,
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def workers(self):
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def directory(self):
        (found,) = {file.parent for pid in self.workers for file in files.MEMORY.glob(f"{files.PREFIX}*/*_{pid}.db")}
        return found

    def counted(self):
        """Calls of /health so far, as this answer's worker knows it."""
        text = requests.get(f"{self.url}/metrics", timeout=PATIENCE).text
        found = re.search(r'^spotopt_http_requests_total{method="GET",route="/health",status="200"} (.+)$', text, re.M)
        return float(found[1]) if found else 0

    def wait_for(self, condition):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if condition():
                    return
            except (requests.ConnectionError, ValueError):
                pass
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def call(self, times):
        for _ in range(times):
            assert requests.get(f"{self.url}/health", timeout=PATIENCE).ok  # a new connection, so any worker


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "db.sqlite3")
    try:
        server.wait_for(lambda: requests.get(f"{server.url}/metrics", timeout=5).ok and len(server.workers) == 2)
        yield server
    finally:
        server.process.kill()
        server.process.wait(PATIENCE)


@pytest.mark.slow
@pytest.mark.skipif(not files.MEMORY.is_dir(), reason="needs Linux's /dev/shm")
def test_each_of_gunicorns_workers_answers_for_all_also_for_one_that_was_killed(server):
    server.call(12)
    assert [server.counted() for _ in range(6)] == [12] * 6
    directory, killed = server.directory, server.workers[0]
    os.kill(killed, signal.SIGKILL)
    server.wait_for(lambda: killed not in server.workers and len(server.workers) == 2)
    server.wait_for(lambda: server.counted() == 12)
    assert not list(directory.glob(f"*_{killed}.db"))
    server.call(3)
    assert server.counted() == 15
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(PATIENCE)
    assert not directory.exists()
