"""Answers from memory: the same as the database would give, until the agent changes (docs/hot-path.md)."""

import json
import logging
from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import OperationalError
from django.http import HttpResponse
from django.test.client import ClientHandler

from agents import memory as memory_module
from agents import middleware
from agents.memory import MOST_AGENTS, Answer, Memory
from agents.models import Agent, AgentQuerySet
from clients import services as clients
from instances.models import Instance
from instances.services import departures
from spotopt.common import clock, metrics
from spotopt.wsgi import application
from tests.conftest import JsonClient
from tests.dialects import V4, V5

pytestmark = pytest.mark.django_db

POLLS = (
    "config",
    "pending-commands",
    "replicas?status=launching",
    "replicas?status=terminated",
    "instances-to-terminate",
)


@pytest.fixture
def memory(settings, monkeypatch):
    """Requests of the test clients come through what stands before Django in a real server."""
    settings.AGENT_MEMORY = True
    fresh = Memory()
    monkeypatch.setattr(middleware, "MEMORY", fresh)
    django = ClientHandler.__call__

    def through_wsgi(handler, environ):
        heads, responses = [], []
        monkeypatch.setattr(application, "application", lambda environ, _: responses.append(django(handler, environ)))
        body = application(environ, lambda status, headers: heads.append((status, headers)))
        return responses[0] if responses else answered(heads, body)

    monkeypatch.setattr(ClientHandler, "__call__", through_wsgi)
    return fresh


def answered(heads, body):
    ((status, headers),) = heads
    response = HttpResponse(b"".join(body), status=int(status.split()[0]), headers=dict(headers))
    response.wsgi_request = None
    return response


@pytest.fixture
def v4(client_token):
    return V4(client_token, instance_id="i-0aaa").settle()


@pytest.fixture
def at_rest(memory, v4):
    """An agent that has made all its calls, and a process that has just read what changed."""
    ask_everything(v4)
    memory.catch_up()
    return v4


def ask_everything(program):
    return {poll: program.get(poll).json() for poll in POLLS} | {"heartbeat": heartbeat_of(program)}


def heartbeat_of(program):
    return {name: value for name, value in program.heartbeat().json().items() if name != "server_time"}


def afresh(program, settings):
    settings.AGENT_MEMORY = False
    try:
        return ask_everything(program)
    finally:
        settings.AGENT_MEMORY = True


@pytest.mark.parametrize("poll", POLLS)
def test_a_repeated_poll_asks_the_database_nothing(at_rest, poll, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert at_rest.get(poll).status_code == 200


def test_a_repeated_heartbeat_asks_the_database_nothing(at_rest, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert at_rest.heartbeat().status_code == 200


def test_answers_are_what_the_database_would_say(at_rest, settings):
    assert ask_everything(at_rest) == afresh(at_rest, settings)


def test_headers_are_the_same(at_rest, settings):
    remembered = at_rest.get("config").headers
    settings.AGENT_MEMORY = False
    assert dict(at_rest.get("config").headers) == dict(remembered)


def test_the_time_of_the_server_goes_on(memory, v4):
    with time_machine.travel("2027-01-05T12:00:00Z", tick=False) as now:
        v4.heartbeat()
        memory.catch_up()
        now.shift(timedelta(seconds=30))
        assert v4.heartbeat().json()["server_time"] == "2027-01-05T12:00:30Z"


def test_v5_is_remembered_whatever_its_uptime(memory, client_token, django_assert_num_queries):
    v5 = V5(client_token, instance_id="i-0aaa")
    v5.register()
    v5.heartbeat()  # learns from the inventory
    v5.heartbeat(health_metrics={"uptime": 30})
    v5.orders()
    memory.catch_up()
    with django_assert_num_queries(0):
        assert v5.heartbeat(health_metrics={"uptime": 60}).status_code == 200
        assert v5.orders() == []


def test_another_inventory_is_looked_at(memory, client_token, django_assert_max_num_queries):
    v5 = V5(client_token, instance_id="i-0aaa")
    v5.register()
    v5.heartbeat()
    v5.heartbeat()
    memory.catch_up()
    with django_assert_max_num_queries(5) as captured:
        v5.heartbeat(("i-0bbb", "t3.medium.us-east-1a"))
    assert captured.captured_queries


# --- What must make it forget ---------------------------------------------------------------------------------------


def switched_off(program, tenant, admin_api):
    admin_api.post(f"/api/client/agents/{program.agent_id}/toggle-enabled", {"enabled": False})


def configured(program, tenant, admin_api):
    body = {"terminateWaitMinutes": 7, "autoTerminate": False}
    assert admin_api.post(f"/api/client/agents/{program.agent_id}/config", body).status_code == 200


def ordered_to_switch(program, tenant, admin_api):
    body = {"target": "ondemand"}
    assert admin_api.post(f"/api/client/instances/{program.instance_id}/force-switch", body).status_code == 200


def given_a_standby(program, tenant, admin_api):
    admin_api.post(
        f"/api/client/agents/{program.agent_id}/settings",
        {"manual_replica_enabled": True, "auto_switch_enabled": False},
    )


def replaced(program, tenant, admin_api):
    """It reports a switch: the caller is not the primary any more."""
    successor = V4(program.token, instance_id="i-0bbb")
    assert program.report_switch(successor).status_code == 200


def silent(program, tenant, admin_api):
    Agent.objects.filter(public_id=program.agent_id).update(last_heartbeat_at=clock.now() - timedelta(hours=1))
    call_command("sweep_agents")
    assert Agent.objects.get().status == "offline"


CHANGES = (switched_off, configured, ordered_to_switch, given_a_standby, replaced, silent)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_told(memory, at_rest, change, tenant, admin_api, settings):
    change(at_rest, tenant, admin_api)
    memory.catch_up()
    assert memory._answers == {}
    assert len(at_rest.orders()) == (change is ordered_to_switch)
    assert ask_everything(at_rest) == afresh(at_rest, settings)


def test_a_switched_agent_is_told_by_its_heartbeat(memory, at_rest, tenant, admin_api):
    switched_off(at_rest, tenant, admin_api)
    memory.catch_up()
    assert at_rest.heartbeat().json()["config"]["enabled"] is False


def test_a_deleted_agent_is_gone(memory, at_rest, admin_api):
    departures.remove_agent(agent=Agent.objects.get(), actor="test")
    memory.catch_up()
    assert [at_rest.get(poll).status_code for poll in ("config", "pending-commands")] == [404, 404]
    assert at_rest.heartbeat().status_code == 404


def test_a_regenerated_token_ends_the_old_one(memory, at_rest, tenant):
    clients.regenerate_token(client=tenant)
    memory.catch_up()
    assert {at_rest.get(poll).status_code for poll in POLLS} == {401}
    assert at_rest.heartbeat().status_code == 401


def test_a_deactivated_client_is_refused(memory, at_rest, tenant):
    clients.set_active(client=tenant, is_active=False)
    memory.catch_up()
    assert {at_rest.get(poll).status_code for poll in POLLS} == {403}


def test_a_client_is_deleted_only_when_no_process_remembers_it(memory, at_rest, tenant, monkeypatch):
    waits = []
    monkeypatch.setattr(clients.time, "sleep", lambda seconds: (waits.append(seconds), memory.catch_up()))
    clients.delete_client(client=tenant)
    assert waits[0] >= memory_module.TRUSTED_SECONDS
    assert at_rest.get("config").status_code == 401


def test_nothing_is_said_from_memory_that_was_not_read_lately(at_rest, monkeypatch, django_assert_max_num_queries):
    later = memory_module.time.monotonic() + memory_module.TRUSTED_SECONDS
    monkeypatch.setattr(memory_module.time, "monotonic", lambda: later)
    with django_assert_max_num_queries(1) as captured:
        at_rest.get("config")
    assert captured.captured_queries


def test_a_change_during_a_long_transaction_is_found_when_it_is_committed(memory, at_rest):
    """It is stamped when it is made, and may become visible seconds later."""
    stamp = Agent.objects.get().changed_at - timedelta(seconds=30)
    memory.catch_up()
    Agent.objects.update(changed_at=stamp)
    memory.catch_up()
    assert memory._answers == {}


def test_clocks_that_are_set_back_hide_no_change(memory, at_rest):
    memory._read_at = clock.now() + timedelta(hours=1)  # as before the database's clock was set back
    Agent.objects.update()
    memory.catch_up()
    assert memory._answers == {}


# --- What is never remembered ---------------------------------------------------------------------------------------


def test_another_token_is_refused(at_rest):
    stranger = JsonClient().bearer("token-" + "0" * 64)
    stranger.cookies = at_rest.api.cookies
    assert stranger.get(f"/api/agents/{at_rest.agent_id}/config", content_type="application/json").status_code == 401


def test_another_kind_of_content_is_looked_at(at_rest):
    body = json.dumps({"status": "online", "instance_id": at_rest.instance_id})
    path = f"/api/agents/{at_rest.agent_id}/heartbeat"
    for _ in range(2):
        assert at_rest.api.post(path, body, content_type="application/json").status_code == 200
    assert at_rest.api.post(path, body, content_type="text/xml").status_code == 415


def test_an_instance_that_is_not_the_primary_is_not_remembered(memory, v4):
    replaced(v4, None, None)
    memory.catch_up()
    ask_everything(v4)
    assert memory._answers == {}


def test_waiting_orders_are_not_remembered(memory, v4, tenant, admin_api):
    ordered_to_switch(v4, tenant, admin_api)
    first = v4.orders()
    memory.catch_up()
    assert first
    assert v4.orders() == first  # within the time for a lost reply; a memory would go on for minutes


def test_what_comes_due_with_time_is_not_remembered(memory, v4, settings):
    successor = V4(v4.token, instance_id="i-0bbb")
    v4.report_switch(successor)
    successor.agent_id = v4.agent_id
    successor.heartbeat()
    assert successor.to_terminate()["instances"] == []
    memory.catch_up()
    Instance.objects.filter(instance_id="i-0aaa").update(zombie_since=clock.now() - timedelta(minutes=10))
    assert [one["instance_id"] for one in successor.to_terminate()["instances"]] == ["i-0aaa"]


def test_an_operator_is_not_remembered(memory, v4, staff_api):
    before = len(memory._answers)
    assert staff_api.get(f"/api/agents/{v4.agent_id}/replicas?status=launching").status_code == 200
    assert len(memory._answers) == before


def test_an_agent_without_a_known_instance_is_heard_every_time(memory, v4):
    """Nobody could tell later whose sign of life it was."""
    Agent.objects.update(instance_id="")
    Instance.objects.update(status="terminated")
    v4.api.cookies.clear()
    v4.post("heartbeat", {"status": "online"})
    memory.catch_up()
    Agent.objects.update(last_heartbeat_at=None)
    v4.post("heartbeat", {"status": "online"})
    memory.flush()
    assert Agent.objects.get().last_heartbeat_at is not None


@pytest.mark.parametrize("body", ["", "{", "[]", '{"status": "online", "monitored_instances": ' + "[" * 20_000])
def test_odd_heartbeats_get_the_usual_answer(memory, v4, body):
    path = f"/api/agents/{v4.agent_id}/heartbeat"
    expected = v4.api.post(path, body, content_type="application/json").status_code
    memory.catch_up()
    assert v4.api.post(path, body, content_type="application/json").status_code == expected


def test_it_is_bounded(memory, at_rest):
    (example,) = (memory.recall(key) for key in [next(iter(memory._answers))])
    for pk in range(10**9, 10**9 + MOST_AGENTS + 10):
        answer = Answer(pk, "", "", "", example.route, example.headers, example.body, example.until)
        memory.remember(b"%d" % pk, answer, changed_at=clock.now())
    assert len(memory._agents) == len(memory._answers) == MOST_AGENTS


def test_an_agent_whose_heartbeats_all_differ_is_bounded_too(memory, v4):
    for number in range(40):
        v4.post("heartbeat", {"status": "online", "instance_id": v4.instance_id, "note": number})
    assert len(memory._answers) <= memory_module.MOST_ANSWERS


# --- Signs of life --------------------------------------------------------------------------------------------------


def test_a_remembered_heartbeat_is_written_soon(memory, v4):
    with time_machine.travel("2027-01-05T12:00:00Z", tick=False) as now:
        v4.heartbeat()
        memory.catch_up()
        now.shift(timedelta(seconds=30))
        v4.heartbeat()
        now.shift(timedelta(seconds=1))
        memory.flush()
        assert clock.isoformat(Agent.objects.get().last_heartbeat_at) == "2027-01-05T12:00:30Z"


def test_a_sign_of_life_is_not_given_to_the_successor(memory, at_rest):
    """The old host's heartbeat must not look like the new one's: the old host would be terminated for it."""
    at_rest.heartbeat()
    replaced(at_rest, None, None)
    Agent.objects.update(last_heartbeat_at=None)
    memory.flush()
    assert Agent.objects.get().last_heartbeat_at is None


def test_an_agent_that_was_deleted_meanwhile_stays_so(memory, at_rest):
    at_rest.heartbeat()
    departures.remove_agent(agent=Agent.objects.get(), actor="test")
    before = Agent.objects.get()
    memory.flush()
    after = Agent.objects.get()
    assert (after.status, after.last_heartbeat_at) == ("deleted", before.last_heartbeat_at)


def test_signs_of_life_survive_a_database_that_is_away(memory, at_rest, monkeypatch):
    at_rest.heartbeat()
    Agent.objects.update(last_heartbeat_at=None)
    with monkeypatch.context() as broken:
        broken.setattr(AgentQuerySet, "hear", lambda *_: (_ for _ in ()).throw(OperationalError(2006, "gone")))
        with pytest.raises(OperationalError):
            memory.flush()
    memory.flush()
    assert Agent.objects.get().last_heartbeat_at is not None


def test_signs_of_life_change_nothing_else(memory, at_rest):
    before = Agent.objects.values().get()
    at_rest.heartbeat()
    memory.flush()
    changed = {name for name, value in Agent.objects.values().get().items() if value != before[name]}
    assert changed <= {"last_heartbeat_at"}


def test_a_second_of_heartbeats_is_one_statement(memory, at_rest, django_assert_num_queries):
    agent = Agent.objects.get()
    heard = {(agent.pk, agent.instance_id): clock.now()} | {(10**9 + n, "i-0"): clock.now() for n in range(150)}
    with django_assert_num_queries(1):
        assert Agent.objects.hear(heard) == 1


# --- For people -----------------------------------------------------------------------------------------------------


def test_each_is_counted_and_logged_for_those_who_want_to_know(at_rest, caplog):
    counted = metrics.REGISTRY.get_sample_value("spotopt_recalled_answers_total")
    with caplog.at_level(logging.DEBUG, "spotopt.request"):
        at_rest.get("config")
    assert metrics.REGISTRY.get_sample_value("spotopt_recalled_answers_total") == counted + 1
    assert [record.levelno for record in caplog.records if record.name == "spotopt.request"] == [logging.DEBUG]


def test_it_is_off_where_the_clock_may_be_stretched(at_rest, settings, django_assert_max_num_queries):
    settings.AGENT_MEMORY = False
    with django_assert_max_num_queries(1) as captured:
        at_rest.get("config")
    assert captured.captured_queries
