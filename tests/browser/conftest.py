"""A real server and a real browser: gunicorn with its deployed configuration, on a database of its own."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.conf import settings

from tests.conftest import ON_MYSQL

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PLAIN_HOST = "ops.test"  # to a browser plain http there is untrustworthy, unlike localhost: it sends no Sec-Fetch-Site
START_SECONDS = 60


def pytest_collection_modifyitems(items):
    reason = None
    if CHROMIUM is None:
        reason = "needs a browser: apt-get install chromium"
    elif ON_MYSQL:
        reason = "brings a database of its own, so once is enough: on SQLite"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class Server:
    port: int
    client: str  # ids of what is there
    agent: str
    instance: str

    @property
    def url(self):
        return f"http://localhost:{self.port}"


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="session")
def environment(directory):
    own = {
        "DJANGO_SETTINGS_MODULE": "spotopt.settings",
        "SQLITE_PATH": str(directory / "spotopt.sqlite3"),
        "MODEL_DIR": str(directory / "models"),
        "DECISION_ENGINE_DIR": str(directory / "engines"),
        "FLASK_HOST": "127.0.0.1",
        "WEB_CONCURRENCY": "1",
        # a thread learns late that the page behind its stream is gone, and each test opens another
        "WEB_THREADS": "64",
        "EVENT_STREAM_THREADS": "48",
        "DEBUG": "false",
        "HTTPS": "false",
        "ALLOWED_HOSTS": "*",
        "LOG_LEVEL": "WARNING",
    }
    empty = dict.fromkeys(
        ["DB_HOST", "CORS_ORIGINS", "TRUSTED_PROXIES", "LOG_DIR", "STATIC_ROOT", "SIMULATED_CLOCK_FILE"], ""
    )
    keys = ("SECRET_KEY", "ADMIN_TOKEN", "TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS")
    return dict(os.environ) | own | empty | {key: secrets.token_hex(32) for key in keys}


@pytest.fixture(scope="session")
def world(environment):
    run([sys.executable, "manage.py", "migrate", "--no-input", "-v0"], environment)
    return json.loads(run([sys.executable, "-m", "tests.browser.world"], environment))


@contextlib.contextmanager
def serving(environment, world, log, **variables):
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "spotopt.wsgi"]
    variables |= {"FLASK_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=environment | variables, stdout=output, stderr=output
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield Server(port, **world)
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="session")
def bundle_server(environment, world, directory):
    """Serves the stand-in dashboard."""
    with serving(environment, world, directory / "bundle.log", DASHBOARD_DIR=str(HERE / "bundle")) as server:
        yield server


@pytest.fixture(scope="session")
def overview_server(environment, world, directory):
    """Without a bundle."""
    with serving(environment, world, directory / "overview.log", DASHBOARD_DIR="") as server:
        yield server


@pytest.fixture(scope="session")
def foreign_port():
    """Of some other page on the same machine: another origin, but to cookies the same site."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=HERE / "foreign"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    arguments = [
        "--no-sandbox",
        f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1, MAP dashboard.example.com 127.0.0.1",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def context(browser):
    context = browser.new_context(accept_downloads=True, timezone_id="America/New_York")
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(context):
    """A tab; whatever its console complains about fails the test, except for what it takes out of `page.complaints`."""
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    assert page.complaints == []


def run(command, environment):
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{command} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(url, process, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")
