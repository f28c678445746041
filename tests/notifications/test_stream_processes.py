"""Event streams of real server processes: gunicorn with threads and the ASGI unit on one database (6.2.11)."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest
import requests
from django.conf import settings
from django.db import connection

from tests.factories import ClientFactory, token_of
from tests.notifications.streams import parse

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PATIENCE = 20  # seconds
KINDS = {"threads": ["spotopt.wsgi"], "tasks": ["--worker-class", "asgi", "spotopt.asgi"]}


class Server:
    def __init__(self, kind, environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "--workers", "1"]
        self.process = subprocess.Popen(
            [*command, *KINDS[kind]],
            cwd=settings.BASE_DIR,
            env=environment | {"FLASK_HOST": "127.0.0.1", "FLASK_PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_until_ready(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if requests.get(self.url("/health"), timeout=5).ok:
                    return self
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


opened = []


@pytest.fixture(autouse=True)
def _close_connections():
    yield
    while opened:
        opened.pop().close()


class Stream:
    """An open stream; `until(name)` reads on to the first frame of that name."""

    def __init__(self, server, token, last=None):
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        headers |= {"Last-Event-ID": last} if last else {}
        self.answer = requests.get(server.url("/api/events/stream"), headers=headers, stream=True, timeout=PATIENCE)
        opened.append(self.answer)
        assert self.answer.status_code == 200
        self.blocks = self.frames()
        self.until("connected")

    def frames(self):
        block = ""
        for line in self.answer.iter_lines(chunk_size=1, decode_unicode=True):
            block += f"{line}\n"
            if not line:
                yield from parse(block)
                block = ""

    def until(self, name):
        return next(frame for frame in self.blocks if frame.name == name)

    def message(self):
        return self.until("NOTIFICATION").data["data"]["message"]


@pytest.fixture
def servers(tmp_path):
    """A process of each kind, on this test's database or on a copy of its (empty) tables."""
    environment = dict(os.environ) | {
        "SECRET_KEY": settings.SECRET_KEY,
        "ADMIN_TOKEN": settings.ADMIN_TOKEN,
        "TOKEN_PEPPERS": ",".join(settings.TOKEN_PEPPERS),
        "TOKEN_ENCRYPTION_KEYS": ",".join(settings.TOKEN_ENCRYPTION_KEYS),
        "LOG_LEVEL": "ERROR",
    }
    if connection.vendor == "sqlite":
        environment["SQLITE_PATH"] = str(tmp_path / "database.sqlite3")
        with sqlite3.connect(environment["SQLITE_PATH"]) as copy:
            connection.connection.backup(copy)
    else:
        environment["DB_DATABASE"] = connection.settings_dict["NAME"]
    started = [Server(kind, environment) for kind in KINDS]
    try:
        yield [server.wait_until_ready() for server in started]
    finally:
        for server in started:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def token(transactional_db):
    return token_of(ClientFactory())


def register(server, token, number):
    body = {"logical_agent_id": f"web-{number}", "instance_id": f"i-0aaa{number}", "hostname": f"web-{number}"}
    body |= {"instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1a", "mode": "spot"}
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(server.url("/api/agents/register"), json=body, headers=headers, timeout=PATIENCE)
    assert answer.ok, answer.text


def test_every_stream_of_a_client_hears_everything_whichever_process_it_is_on(token, servers):
    threads, tasks = servers
    streams = [Stream(threads, token), Stream(tasks, token), Stream(tasks, token)]
    register(threads, token, 1)
    assert {stream.message() for stream in streams} == {"New agent web-1 on i-0aaa1"}
    register(tasks, token, 2)
    heard = [stream.until("NOTIFICATION") for stream in streams]
    assert len({frame.id for frame in heard}) == 1

    register(threads, token, 3)
    resumed = [Stream(server, token, last=heard[0].id) for server in servers]
    assert {stream.message() for stream in resumed} == {"New agent web-3 on i-0aaa3"}


def test_sigterm_ends_streams_and_processes_promptly(token, servers):
    streams = [Stream(server, token) for server in servers]
    started = time.monotonic()
    for server in servers:
        assert server.end() == 0
    assert [list(stream.blocks) for stream in streams] == [[], []]
    assert time.monotonic() - started < 10
