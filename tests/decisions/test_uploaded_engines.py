"""An uploaded engine decides, within the limits, until it fails (issue 5, 6)."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection

from agents.models import Agent, Command
from decisions import store
from decisions.models import DecisionRecord, UploadedEngine
from decisions.selectors import engine_status
from decisions.services import deciding
from decisions.services.rounds import run_round
from instances.models import Pool
from notifications.models import SystemEvent
from spotopt.common import clock
from tests.conftest import JsonClient
from tests.decisions.models import ENGINE, send
from tests.factories import AgentFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]

CHEAP, DEAR = "t3.medium.us-east-1b", "t3.medium.us-east-1a"
HEAD = "class DecisionEngine:\n    def decide(self, situation):\n"
STAYS = HEAD + "        return {'action': 'stay', 'reason': 'I like it here'}\n"
TO_THE_DEAREST = (
    HEAD
    + """
        if situation["holds"] or situation["limits"]["reached"]:
            return {"action": "stay"}
        open_to_choice = {"chosen", "outranked", "not_worth_a_move"}
        pools = [one for one in situation["candidates"] if one["pool_id"] and one["verdict"] in open_to_choice]
        if not pools:
            return {"action": "stay"}
        dearest = max(pools, key=lambda one: one["prices"][-1][1])
        return {"action": "switch_spot", "target_pool_id": dearest["pool_id"], "reason": "More is more"}
"""
)


@pytest.fixture(autouse=True)
def now(settings):
    settings.ALLOW_ENGINE_UPLOADS = True
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def agent(market, tenant):
    return AgentFactory(client=tenant, current_mode="ondemand")


def upload(api, source, name="engine.py"):
    answer = send(api, {name: source.encode()}, path=ENGINE)
    assert answer.status_code == 200, answer.json()
    return UploadedEngine.objects.get(status="active")


def turns_bad(engine, body):
    """As if it had answered well when it was tried out, and does not now: a file cannot be exchanged unnoticed."""
    source = (HEAD + "".join(f"        {line}\n" for line in body.splitlines())).encode()
    sha256 = hashlib.sha256(source).hexdigest()
    store.engine_path_of(sha256).write_bytes(source)
    UploadedEngine.objects.filter(pk=engine.pk).update(sha256=sha256)


def later(now, **span):
    now.shift(timedelta(**span))
    Pool.objects.update(last_confirmed_at=clock.now())
    Agent.objects.update(last_heartbeat_at=clock.now())


def events(kind):
    return SystemEvent.objects.filter(event_type=kind)


class TestDeciding:
    def test_its_choice_is_ordered_and_on_record(self, admin_api, agent):
        engine = upload(admin_api, TO_THE_DEAREST)
        run_round()
        assert Command.objects.get().target_pool_id == DEAR
        record = DecisionRecord.objects.get()
        assert (record.engine, record.engine_version, record.reason) == ("engine.py", engine.version, "More is more")
        verdicts = {one["pool_id"]: one["verdict"] for one in record.details["candidates"]}
        assert verdicts == {None: "current", DEAR: "chosen", CHEAP: "outranked"}

    def test_it_may_stay_where_the_built_in_one_would_move(self, admin_api, agent):
        upload(admin_api, STAYS)
        run_round()
        assert not Command.objects.exists()
        assert DecisionRecord.objects.get().reason == "I like it here"

    def test_agents_that_ask_get_its_answer(self, admin_api, agent, tenant_api):
        upload(admin_api, TO_THE_DEAREST)
        answer = tenant_api.get(f"/api/agents/{agent.public_id}/switch-recommendation").json()
        assert (answer["recommended_pool_id"], answer["reason"]) == (DEAR, "More is more")

    def test_it_is_asked_once_for_the_whole_batch(self, admin_api, agent, monkeypatch):
        AgentFactory.create_batch(5, client=agent.client, current_mode="ondemand")
        upload(admin_api, STAYS)
        starts = []
        start = deciding.started
        monkeypatch.setattr(deciding, "started", lambda *args, **more: starts.append(1) or start(*args, **more))
        assert run_round().evaluated == 6
        assert len(starts) == 1

    def test_it_learns_nothing_of_who_is_decided_on(self, admin_api, agent):
        upload(admin_api, HEAD + "        return {'action': 'stay', 'reason': repr(situation)[:500]}\n")
        run_round()
        said = DecisionRecord.objects.get().reason
        assert "candidates" in said or "placement" in said
        assert not any(word in said for word in (agent.public_id, agent.client.public_id, agent.instance_id))

    def test_switching_the_setting_off_is_enough_to_be_rid_of_it(self, admin_api, agent, settings):
        upload(admin_api, STAYS)
        settings.ALLOW_ENGINE_UPLOADS = False
        run_round()
        assert (Command.objects.get().target_pool_id, DecisionRecord.objects.get().engine) == (CHEAP, "built-in")

    def test_without_uploaded_engines_nothing_is_looked_up(self, settings, django_assert_num_queries):
        settings.ALLOW_ENGINE_UPLOADS = False
        with django_assert_num_queries(0):
            assert deciding.live_engine() is None


HOSTILE = {
    "loops": "while True: pass",
    "forks": "import os; os.fork()",
    "opens a socket": "import _socket; _socket.socket()",
    "reads a file": "open('/etc/passwd')",
    "fills the disk": "open('/tmp/x', 'wb').write(b'x' * 10**9)",
    "takes all memory": "x = 'x'\nwhile True: x += x",
    "prints garbage": "import os; os.write(1, b'garbage garbage')",
    "answers no JSON": "import os; os.write(1, b'\\0\\0\\0\\4nope'); os._exit(0)",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "answers nonsense": "return 42",
    "moves where it may not": "return {'action': 'switch_spot', 'target_pool_id': 'm5.large.us-east-1a'}",
    "moves to nowhere": "return {'action': 'switch_spot'}",
    "moves twice to where it is": "return {'action': 'switch_ondemand'}",
    "says odd things": "return {'action': 'explode', 'target_pool_id': '\\ud800\\0', 'reason': '\\ud800\\0'}",
}


class TestFailing:
    @pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
    def test_the_built_in_engine_decides_with_one_event(self, admin_api, agent, now, monkeypatch, body):
        monkeypatch.setattr(deciding, "SECONDS", 0.5)
        turns_bad(upload(admin_api, STAYS), body)
        for _ in range(3):
            run_round()
            Command.objects.all().delete()
            later(now, minutes=6)
        assert {record.engine for record in DecisionRecord.objects.all()} == {"built-in"}
        assert DecisionRecord.objects.filter(target_pool_id=CHEAP).exists()
        event = events("decision_engine_failed").get()
        assert event.severity == "error"
        assert "the built-in engine decides" in event.message

    @pytest.mark.parametrize("change", [{"price": Decimal("0.0400")}, {"is_active": False}])
    def test_limits_stay_hard(self, admin_api, agent, change):
        """It names a pool that saves too little, or is not offered."""
        Pool.objects.filter(pool_id=DEAR).update(**change)
        answer = f"{{'action': 'switch_spot', 'target_pool_id': {DEAR!r}}}"
        turns_bad(upload(admin_api, STAYS), f"return {answer}")
        run_round()
        assert Command.objects.get().target_pool_id == CHEAP
        assert events("decision_engine_failed").exists()

    def test_a_hold_stays_a_hold(self, admin_api, agent):
        Agent.objects.update(enabled=False)
        turns_bad(upload(admin_api, STAYS), f"return {{'action': 'switch_spot', 'target_pool_id': {CHEAP!r}}}")
        run_round()
        assert not Command.objects.exists()

    def test_it_is_left_alone_for_a_while(self, admin_api, agent, now, monkeypatch):
        monkeypatch.setattr(deciding, "SECONDS", 0.5)
        turns_bad(upload(admin_api, STAYS), "while True: pass")
        run_round()
        monkeypatch.setattr(deciding, "started", None)  # would crash
        later(now, minutes=4)
        run_round()

    def test_when_it_has_long_been_well_that_is_told_too(self, admin_api, agent, now):
        engine = upload(admin_api, STAYS)
        UploadedEngine.objects.update(failing_since=clock.now(), failed_at=clock.now(), failure="it crashed")
        assert engine_status()["decisionEngineStatus"]["type"] == "built-in"
        later(now, minutes=6)
        run_round()
        assert not events("decision_engine_recovered").exists()
        later(now, minutes=60)
        run_round()
        assert events("decision_engine_recovered").get().metadata == {"id": engine.public_id}
        assert engine_status()["decisionEngineStatus"]["type"] == "engine.py"

    def test_a_file_that_is_gone_is_a_failure_as_well(self, admin_api, agent):
        store.engine_path_of(upload(admin_api, STAYS).sha256).unlink()
        run_round()
        assert Command.objects.get().target_pool_id == CHEAP
        assert events("decision_engine_failed").exists()


class TestExchanging:
    def test_the_live_one_stays_when_the_next_is_refused(self, admin_api):
        engine = upload(admin_api, STAYS)
        assert send(admin_api, {"bad.py": (HEAD + "        return 1\n").encode()}, path=ENGINE).status_code == 422
        assert UploadedEngine.objects.get() == engine
        assert engine_status()["decisionEngineStatus"]["version"] == engine.version

    def test_one_predecessor_is_kept(self, admin_api):
        for number in range(4):
            upload(admin_api, f"# {number}\n{STAYS}", name=f"{number}.py")
        assert list(UploadedEngine.objects.order_by("id").values_list("name", "status")) == [
            ("2.py", "archived"),
            ("3.py", "active"),
        ]

    def test_who_made_it_live_is_on_record(self, staff_api, staff):
        engine = upload(staff_api, STAYS)
        event = events("decision_engine_activated").get()
        assert (event.actor, event.metadata["files"]) == (
            staff.username,
            [{"name": "engine.py", "sha256": engine.sha256}],
        )

    def test_files_of_engines_that_are_gone_are_swept(self, admin_api, model_dir, now, capsys):
        upload(admin_api, STAYS)
        engines = model_dir.parent / "engines"
        orphan = engines / ("0" * 64)
        orphan.write_bytes(b"x")
        then = (clock.now() - timedelta(days=2)).timestamp()
        for path in engines.iterdir():
            if path.is_file():
                os.utime(path, (then, then))
        call_command("prune_history")
        assert [path.name for path in engines.iterdir() if path.is_file()] == [UploadedEngine.objects.get().sha256]

    def test_the_console_goes_back_and_forth(self, client, staff, admin_api):
        client.force_login(staff)
        first = upload(admin_api, STAYS)
        second = upload(admin_api, "# 2\n" + STAYS)

        def act(action, engine):
            data = {"action": action, "_selected_action": [engine.pk]}
            answer = client.post("/admin/decisions/uploadedengine/", data, follow=True)
            return [str(message) for message in answer.context["messages"]]

        assert act("make_live", first) == [f"{first} is live"]
        assert UploadedEngine.objects.get(status="active") == first
        assert act("use_built_in", second) == ["The built-in engine decides"]
        assert act("use_built_in", second) == ["The built-in engine decides already"]
        assert events("decision_engine_rollback").get().actor == staff.username
        assert engine_status()["decisionEngineStatus"]["type"] == "built-in"


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_of_engines_uploaded_at_once_one_is_live():
    barrier = threading.Barrier(4)

    def call(number):
        api = JsonClient().bearer(django_settings.ADMIN_TOKEN)
        barrier.wait()
        try:
            return send(api, {"engine.py": f"# {number}\n{STAYS}".encode()}, path=ENGINE).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(call, range(4))) == [200] * 4
    assert UploadedEngine.objects.filter(status="active").count() == 1
