"""The API's description of itself, and Schemathesis: does the server do what it says? `./dev fuzz` looks longer."""

import os
import re
import uuid
from io import StringIO
from urllib.parse import quote

import pytest
import schemathesis
from django.conf import settings
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck
from hypothesis import settings as search_settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection

from decisions.models import Recommendation
from instances.models import Instance
from spotopt.common import clock
from spotopt.wsgi import application
from tests.factories import (
    AgentFactory,
    ClientFactory,
    CommandFactory,
    InstanceFactory,
    InterruptionEpisodeFactory,
    NotificationFactory,
    PoolFactory,
    ReplicaFactory,
    SwitchFactory,
    SystemEventFactory,
    UsageIntervalFactory,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
TENANT_TOKEN = "token-of-the-tenant"
KNOWN = {
    "client_id": "client-1",
    "agent_id": "agent-1",
    "command_id": "command-1",
    "replica_id": "replica-1",
    "instance_id": "i-0000000000000000a",
    "notification_id": "notification-1",
    "recommendation_id": "recommendation-1",
}
# Rules over several fields, or over what there is, which a schema cannot tell: 400 for a body of the right shape.
RULES = {
    "get_client_pricing_history": "an operator has to say whose",
    "post_admin_bulk_execute": "each operation wants ids of its own",
    "post_admin_ml_models_upload": "one of the fields must be a file",
    "post_agents_issue_switch_command": "a target that exists",
    "post_agents_replicas": "manual standbys must be enabled",
    "post_agents_termination": "the instance, unless there is only one",
    "post_agents_termination_notice": "the instance, unless there is only one",
    "post_client_agents_config": "two of the settings exclude each other",
    "post_client_instances_force_switch": "a target or a pool",
    "post_client_instances_launch": "a target that exists",
    "post_client_instances_simulate_switch": "a pool, unless the target is on-demand",
    "post_client_pricing_alerts": "a threshold under one of two names",
}
CONFIG = SchemathesisConfig.from_dict(
    {
        "dictionaries": {name: {"values": [value]} for name, value in KNOWN.items()},
        "parameters": {f"path.{name}": {"dictionary": name, "probability": 0.8} for name in KNOWN},
        "generation": {"allow-x00": False},  # its own test is below
        "operations": [
            {
                "include-operation-id": list(RULES),
                "checks": {
                    "positive_data_acceptance": {
                        "expected-statuses": ["2xx", "400", "401", "403", "404", "409", "429", "5xx"]
                    }
                },
            }
        ],
    }
)
described = schemathesis.openapi.from_wsgi("/api/schema", application, config=CONFIG)
callable_ones = described.exclude(path_regex="^/api/events/stream")  # it does not end


def open_to(scheme):
    def is_open(context):
        security = context.operation.definition.raw.get("security")
        return security is None or {scheme: []} in security

    return callable_ones.include(is_open)


search = search_settings(
    max_examples=EXAMPLES or 5, derandomize=not EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def open_connection():
    """The real application would close a test's connection, transaction and all, with each request."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def world(db, settings, open_connection):
    """Something of everything, of one tenant, and another tenant's agent."""
    settings.READS_PER_MINUTE = settings.WRITES_PER_MINUTE = 0
    settings.WRONG_TOKENS_PER_MINUTE = 10**9
    client = ClientFactory(public_id=KNOWN["client_id"], token=TENANT_TOKEN)
    agent = AgentFactory(public_id=KNOWN["agent_id"], client=client, instance_id=KNOWN["instance_id"])
    for zone in "abc":
        PoolFactory(az=f"us-east-1{zone}")
    CommandFactory(public_id=KNOWN["command_id"], agent=agent)
    ReplicaFactory(public_id=KNOWN["replica_id"], agent=agent)
    InstanceFactory(agent=agent, status=Instance.Status.ZOMBIE)
    InterruptionEpisodeFactory(agent=agent)
    SwitchFactory(agent=agent)
    UsageIntervalFactory(instance=Instance.objects.get(instance_id=KNOWN["instance_id"]))
    NotificationFactory(public_id=KNOWN["notification_id"], client=client)
    SystemEventFactory(client=client)
    Recommendation.objects.create(
        public_id=KNOWN["recommendation_id"],
        client=client,
        agent=agent,
        current_mode="spot",
        target_mode="ondemand",
        expires_at=clock.now(),
    )
    AgentFactory()


@pytest.mark.slow
@pytest.mark.usefixtures("world")
@open_to("adminToken").parametrize()
@search
def test_the_server_keeps_its_word_to_an_operator(case):
    call(case, settings.ADMIN_TOKEN)


@pytest.mark.slow
@pytest.mark.usefixtures("world")
@open_to("clientToken").parametrize()
@search
def test_the_server_keeps_its_word_to_a_tenant(case):
    call(case, TENANT_TOKEN)


def call(case, token):
    if re.fullmatch(r"[!-~]{1,128}", (case.headers or {}).get("X-Request-ID", "")):
        case.headers["X-Request-ID"] = uuid.uuid4().hex  # or most calls would be answered from memory
    is_blank = isinstance(case.body, str | bytes) and not case.body.strip()  # "no data" (dashboard-api 1.5)
    excluded = [negative_data_rejection] if is_blank else []
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=excluded)


def operations():
    return [
        (method, path, operation)
        for path, item in described.raw_schema["paths"].items()
        for method, operation in item.items()
    ]


def test_the_schema_is_valid_and_every_view_is_annotated():
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_operation_has_a_summary_and_says_what_success_looks_like():
    for _, path, operation in operations():
        assert operation.get("summary"), path
        assert any(status.startswith("2") for status in operation["responses"]), path


def test_every_operation_of_people_tells_its_errors_and_who_may_call_it():
    for method, path, operation in operations():
        if path in ("/", "/health", "/api/schema"):
            assert "security" not in operation
            continue
        assert operation["security"], path
        assert {"400", "401", "403", "404", "500", "503"} <= set(operation["responses"]), path
        is_agents = path.startswith("/api/agents/") or path == "/api/client/validate"
        assert ("429" in operation["responses"]) != is_agents or path.endswith("/statistics"), path
        if method != "get":
            assert {"409", "413", "415"} <= set(operation["responses"]), path


def test_operators_and_tenants_are_told_apart():
    security = {
        path: {name for option in operation["security"] for name in option}
        for _, path, operation in operations()
        if "security" in operation
    }
    assert security["/api/admin/clients/create"] == {"adminToken", "staffSession"}
    assert security["/api/agents/{agent_id}/heartbeat"] == {"clientToken"}
    assert security["/api/client/{client_id}/instances"] == {"adminToken", "clientToken", "staffSession"}


def test_error_answers_have_examples_of_the_contracts_shape():
    responses = described.raw_schema["components"]["responses"]
    for name, response in responses.items():
        (content,) = response["content"].values()
        ((code, example),) = content["examples"].items()
        assert set(example["value"]) == {"status", "error", "code", "data", "details", "message"}, name
        assert example["value"]["code"] == code


@pytest.mark.usefixtures("world")
def test_a_null_character_anywhere_in_an_address_crashes_nothing(admin_api):
    for method, path, operation in operations():
        if method != "get" or path.startswith("/api/events/stream"):
            continue
        query = "&".join(f"{p['name']}=%00" for p in operation.get("parameters", []) if p["in"] == "query")
        assert admin_api.get(f"{re.sub(r'{[^}]+}', '%00', path)}?{query}").status_code < 500, path
        for name in re.findall(r"{([^}]+)}", path):
            path = path.replace(f"{{{name}}}", quote(KNOWN[name]))
        assert admin_api.get(f"{path}?{query}").status_code < 500, path


@pytest.mark.parametrize(
    ("query", "accept", "start"),
    [("", "*/*", b"{"), ("?format=yaml", "*/*", b"openapi:"), ("", "application/yaml", b"openapi:")],
)
def test_the_schema_comes_as_json_or_yaml_to_anyone(anonymous_api, query, accept, start):
    answer = anonymous_api.get(f"/api/schema{query}", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.content.startswith(start)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
def test_the_pages_work_without_the_internet(anonymous_api, path):
    page = anonymous_api.get(path, headers={"Accept": "text/html"}).content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    for source in sources:
        assert source.startswith("/static/"), source
        file = anonymous_api.get(source)
        assert file.status_code == 200
        file.close()
    assert "/api/schema" in page
