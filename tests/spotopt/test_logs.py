import json
import logging
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import AsyncClient

from agents.models import Agent
from spotopt.common import logs
from tests.factories import AgentFactory

TOKEN = "token-" + "a1" * 16


def formatted(message, *args, exc_info=None, **extra):
    record = logging.LogRecord("spotopt.test", logging.INFO, __file__, 1, message, args, exc_info)
    vars(record).update(extra)
    logs.ContextFilter().filter(record)
    options = settings.LOGGING["formatters"]["json"]
    formatter = logs.RedactingJsonFormatter(options["format"], rename_fields=options["rename_fields"])
    return formatter.format(record)


def test_a_line_is_json_and_says_who_it_is_about():
    logs.start_request(identifier="r1")
    logs.client.set("c1")
    logs.agent.set("a1")
    line = json.loads(formatted("%s done", "work", ms=3))
    expected = {"level": "INFO", "logger": "spotopt.test", "message": "work done", "ms": 3}
    assert expected | {"request_id": "r1", "client": "c1", "agent": "a1"} == {k: line[k] for k in line if k != "time"}


def test_a_new_request_forgets_whom_the_last_one_was_about():
    logs.client.set("c1")
    logs.start_request(identifier="r2")
    assert json.loads(formatted("x"))["client"] == ""


@pytest.mark.parametrize("secret", [TOKEN, "ab" * 32, "AB" * 32, settings.ADMIN_TOKEN])
def test_a_token_in_a_message_is_blacked_out(secret):
    assert secret not in formatted("not found: /api/x/%s/y", secret)
    assert secret not in formatted("x", path=f"/api/{secret}")


def test_a_token_in_a_traceback_is_blacked_out():
    try:
        raise ValueError(f"bad header: Bearer opaque-{TOKEN}")
    except ValueError as error:
        line = formatted("crashed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError" in line
    assert "opaque" not in line


@pytest.fixture
def lines():
    """`lines()` is what the configured handler wrote since, parsed."""
    output = StringIO()
    handler = logging.StreamHandler(output)
    options = settings.LOGGING["formatters"]["json"]
    handler.setFormatter(logs.RedactingJsonFormatter(options["format"], rename_fields=options["rename_fields"]))
    handler.addFilter(logs.ContextFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in output.getvalue().splitlines()]
    root.removeHandler(handler)


@pytest.mark.django_db
class TestRequests:
    def test_a_call_of_an_agent_says_whose_it_is_on_each_of_its_lines(self, tenant_api, tenant, lines, monkeypatch):
        agent = AgentFactory(client=tenant)
        speak = logging.getLogger("spotopt.somewhere").warning
        monkeypatch.setattr("agents.selectors.config_of", lambda agent: speak("on the way") or {})
        tenant_api.get(f"/api/agents/{agent.public_id}/config")
        on_the_way, last = lines()
        assert (on_the_way["message"], last["logger"]) == ("on the way", "spotopt.request")
        for line in (on_the_way, last):
            assert (line["client"], line["agent"]) == (tenant.public_id, agent.public_id)
            assert line["request_id"] == last["request_id"] != ""
        assert (last["method"], last["status"]) == ("GET", 200)

    def test_a_registration_names_the_agent_it_made(self, tenant_api, tenant, lines):
        facts = {"instance_id": "i-0123456789abcdef0", "logical_agent_id": "web-1"}
        tenant_api.post("/api/agents/register", facts)
        (agent,) = Agent.objects.all()
        assert (lines()[-1]["client"], lines()[-1]["agent"]) == (tenant.public_id, agent.public_id)

    def test_a_clients_call_names_the_client_and_the_next_one_does_not(self, tenant_api, anonymous_api, tenant, lines):
        tenant_api.get(f"/api/client/{tenant.public_id}")
        anonymous_api.get("/health")
        first, second = [line for line in lines() if line["logger"] == "spotopt.request"]
        assert (first["client"], second["client"]) == (tenant.public_id, "")
        assert first["request_id"] != second["request_id"]

    def test_a_refused_token_names_nobody(self, anonymous_api, lines):
        anonymous_api.bearer("token-" + "0" * 64).get("/api/client/agents")
        assert {(line["client"], line["agent"]) for line in lines()} == {("", "")}

    def test_under_asgi_too(self, tenant, client_token, lines):
        agent = AgentFactory(client=tenant)
        call = async_to_sync(AsyncClient().get)
        call(f"/api/agents/{agent.public_id}/config", headers={"authorization": f"Bearer {client_token}"})
        (line,) = [line for line in lines() if line["logger"] == "spotopt.request"]
        assert (line["client"], line["agent"], line["status"]) == (tenant.public_id, agent.public_id, 200)
