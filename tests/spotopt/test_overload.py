"""Who is refused first when calls have to wait for a thread, and that the worker knows how long they did."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from django.conf import settings

from spotopt.common import metrics, waiting
from spotopt.simulator.server import ROOT, end, free_port
from tests.dialects import V4

pytestmark = pytest.mark.django_db

AGENT = "/api/agents/1b671a64-40d5-491e-99b0-da01ff1f3341"


@pytest.fixture
def after_waiting():
    tokens = []

    def wait(seconds):
        tokens.append(waiting.seconds_waited.set(seconds))

    yield wait
    for token in reversed(tokens):
        waiting.seconds_waited.reset(token)


@pytest.mark.parametrize(
    ("method", "path", "patience"),
    [
        ("get", "/api/admin/stats", 1),
        ("get", "/api/client/x/agents", 1),
        ("get", "/admin/", 1),
        ("post", f"{AGENT}/pricing-report", 5),
        ("post", f"{AGENT}/decide", 5),
        ("get", f"{AGENT}/config", 25),
        ("get", f"{AGENT}/commands/pending", 25),
        ("post", f"{AGENT}/heartbeat", None),
        ("post", f"{AGENT}/termination-notice", None),
        ("post", f"{AGENT}/termination-imminent", None),
        ("post", f"{AGENT}/create-emergency-replica", None),
        ("post", f"{AGENT}/switch-report", None),
        ("post", f"{AGENT}/action-result", None),
        ("post", "/api/agents/register", None),
        ("get", "/health", None),
        ("get", "/metrics", None),
    ],
)
def test_each_is_refused_when_it_has_waited_longer_than_it_is_worth(
    anonymous_api, after_waiting, method, path, patience
):
    for seconds in (0, 0.9, 1.1, 4.9, 5.1, 24.9, 25.1, 3600):
        after_waiting(seconds)
        is_refused = getattr(anonymous_api, method)(path).status_code == 503
        assert is_refused == (patience is not None and seconds > patience), seconds


def test_the_refusal_says_what_to_do_and_is_counted(admin_api, after_waiting):
    def count():
        return metrics.REGISTRY.get_sample_value("spotopt_overload_refusals_total", {"kind": "people"}) or 0

    before = count()
    after_waiting(2)
    refused = admin_api.get("/api/admin/stats")
    assert (refused.status_code, refused.json()["code"]) == (503, "OVERLOADED")
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["Cache-Control"] == "no-store"
    assert int(refused.headers["Content-Length"]) == len(refused.content)
    assert count() == before + 1


def test_a_heartbeat_that_waited_long_is_still_heard(client_token, after_waiting):
    v4 = V4(client_token, instance_id="i-0aaa")
    after_waiting(29)
    assert v4.register().status_code == 200
    assert v4.heartbeat().status_code == 200


APPLICATION = """
import json, time
from spotopt.common.waiting import seconds_waited

def application(environ, start_response):
    body = json.dumps(seconds_waited.get()).encode()
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.5)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def one_thread(tmp_path):
    """A gunicorn of one thread, with the worker class of production."""
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "--workers", "1"]
    command += ["--threads", "1", "--bind", f"127.0.0.1:{port}", "application"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "DEBUG": "true", "LOG_LEVEL": "WARNING", "LOG_DIR": ""}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    else:
        pytest.fail((tmp_path / "log").read_text())
    yield f"http://127.0.0.1:{port}"
    end(process)


def waited(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return float(answer.read())


def test_the_worker_tells_how_long_a_call_waited_for_a_thread(one_thread):
    assert waited(f"{one_thread}/") < 0.3
    slow = threading.Thread(target=waited, args=[f"{one_thread}/slow"])
    slow.start()
    time.sleep(0.1)
    assert waited(f"{one_thread}/") > 0.2
    slow.join()
    assert waited(f"{one_thread}/") < 0.3  # a thread is used again and again


def test_notices_have_processes_of_their_own():
    """Each call of an interruption stands in the location that nginx passes to spotopt-urgent, and no other does."""
    import re

    text = (ROOT / "deploy/nginx.conf").read_text()
    (pattern,) = re.findall(r"location ~ (\S+) \{\s+proxy_pass http://spotopt_urgent;", text)
    urgent = ("termination-notice", "termination-imminent", "create-emergency-replica", "emergency-status")
    urgent += ("rebalance-recommendation", "rebalance-notice", "replicas/7/status", "replicas/7/promote", "replicas/7")
    assert [name for name in urgent if not re.match(pattern, f"{AGENT}/{name}")] == []
    usual = ("heartbeat", "config", "pending-commands", "commands/pending", "replicas", "instances-to-terminate")
    assert [name for name in usual if re.match(pattern, f"{AGENT}/{name}")] == []
    assert settings.ROOT_URLCONF  # the names are those of instances/urls.py:
    routes = (ROOT / "instances/urls.py").read_text()
    assert [name for name in urgent if "/7" not in name and f'/{name}"' not in routes] == []


def test_the_master_loads_the_worker_without_the_counters():
    """prometheus_client decides when it is imported whether processes share counters (spotopt.monitoring.files)."""
    code = "import sys, spotopt.worker; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
