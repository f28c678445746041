"""GET / and GET /health (dashboard-api 2.1)."""

import pytest
from django.db import OperationalError, connection

from spotopt import __version__

pytestmark = pytest.mark.django_db


def test_a_program_gets_the_api_information(anonymous_api):
    answer = anonymous_api.get("/")
    body = answer.json()
    assert (body["status"], body["error"]) == ("success", None)
    assert set(body["data"]) == {"name", "version", "status", "environment", "uptime_seconds", "endpoints"}
    assert set(body["data"]["endpoints"]) == {"health", "admin", "client", "agents"}
    for key in ("name", "version", "uptime_seconds", "endpoints"):
        assert body[key] == body["data"][key]
    assert "Accept" in answer.headers["Vary"]


def test_a_browser_is_led_to_the_dashboard_by_way_of_the_login(anonymous_api):
    answer = anonymous_api.get("/", HTTP_ACCEPT="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/")
    assert "Accept" in answer.headers["Vary"]


def test_a_healthy_server_says_so_to_anyone_for_one_statement(anonymous_api, django_assert_num_queries):
    with django_assert_num_queries(1):
        answer = anonymous_api.get("/health")
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "success")
    assert (body["data"]["status"], body["data"]["database"]) == ("healthy", "connected")
    assert body["data"]["version"] == __version__
    assert body["timestamp"].endswith("Z")
    assert (body["database"], body["decision_engine_loaded"]) == ("connected", True)
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_its_database_it_is_503(anonymous_api, monkeypatch):
    def fail(*args, **kwargs):
        raise OperationalError(2002, "cannot connect to db.internal")

    monkeypatch.setattr(connection, "cursor", fail)
    answer = anonymous_api.get("/health")
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (503, "error", "UNHEALTHY")
    assert body["data"]["status"] == "unhealthy"
    assert body["data"]["database"] == "disconnected"
    assert body["data"]["timestamp"].endswith("Z")
    assert "db.internal" not in answer.content.decode()
