"""Which model session is live: activation, fallback, the list (dashboard-api 3.3 to 3.5), and the files behind it."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from decisions import store
from decisions.errors import ModelRefused
from decisions.models import ModelFile, ModelSession
from decisions.selectors import engine_status
from decisions.services.checks import Checks
from notifications.models import SystemEvent
from spotopt.common import clock
from tests.conftest import JsonClient
from tests.contract.shapes import Null, OneOf, Time, assert_shape, strict
from tests.decisions.models import ACTIVATE, FALLBACK, SESSIONS, a_model, a_session, send, statuses
from tests.factories import OperatorFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]

UNTRIED = "not backtested: 0.0 days of history, 7 are needed"
quick = pytest.mark.usefixtures("every_model_loads")


def activate(api, session):
    return api.post(ACTIVATE, {"sessionId": session.public_id})


def session_row(api, session):
    rows = api.get(SESSIONS, {"include_archived": "true"}).json()
    return next(row for row in rows if row["id"] == session.public_id)


def chain(api, number):
    """Sessions that were made live one after the other; the last one is."""
    sessions = [a_session(content=str(n).encode()) for n in range(number)]
    for session in sessions:
        assert activate(api, session).status_code == 200
    return sessions


def words(*sessions):
    """Their states, in the order given."""
    known = statuses()
    return [known[session.public_id] for session in sessions]


@quick
class TestActivation:
    def test_it_becomes_live_and_the_answer_is_the_dashboards(self, admin_api):
        session = a_session()
        answer = activate(admin_api, session)
        assert strict(answer) == {
            "success": True,
            "message": f"Models Risk v1 are live ({UNTRIED})",
            "sessionId": session.public_id,
            "restarting": False,
            "model_status": {"loaded": True, "type": "onnx"},
            "backtest": session_row(admin_api, session)["backtest"],
        }
        session.refresh_from_db()
        assert (session.status, session.activated_at is not None) == ("active", True)

    def test_the_live_one_becomes_the_fallback_and_the_older_fallback_is_archived(self, admin_api):
        assert words(*chain(admin_api, 4)) == ["archived", "archived", "fallback", "active"]

    def test_the_fallback_itself_may_be_made_live(self, admin_api):
        first, second = chain(admin_api, 2)
        assert activate(admin_api, first).status_code == 200
        assert words(first, second) == ["active", "fallback"]

    def test_an_archived_one_may_be_made_live_again(self, admin_api):
        first, second, third = chain(admin_api, 3)
        assert activate(admin_api, first).status_code == 200
        assert words(first, second, third) == ["active", "archived", "fallback"]

    @pytest.mark.parametrize("name", ["sessionId", "session_id", "model_id"])
    def test_every_name_for_the_id_works(self, admin_api, name):
        assert admin_api.post(ACTIVATE, {name: a_session().public_id}).status_code == 200

    @pytest.mark.parametrize("body", [{}, {"sessionId": ""}, {"sessionId": None}, {"sessionId": []}, {"sessionId": {}}])
    def test_without_an_id_it_is_400(self, admin_api, body):
        answer = admin_api.post(ACTIVATE, body)
        assert (answer.status_code, "sessionId" in answer.json()["details"]) == (400, True)

    @pytest.mark.parametrize("unknown", ["nobody", "x" * 5000, "\U0001f600", 7])
    def test_an_unknown_one_is_404_and_the_live_one_stays(self, admin_api, unknown):
        (live,) = chain(admin_api, 1)
        assert admin_api.post(ACTIVATE, {"sessionId": unknown}).status_code == 404
        assert words(live) == ["active"]

    def test_the_live_one_is_409(self, admin_api):
        (live,) = chain(admin_api, 1)
        answer = activate(admin_api, live)
        assert (answer.status_code, answer.json()["code"]) == (409, "ALREADY_LIVE")

    def test_the_event_says_by_whom_and_which_content(self, staff_api, staff):
        session = a_session()
        activate(staff_api, session)
        event = SystemEvent.objects.get(event_type="ml_models_activated")
        assert (event.actor, event.metadata["session_id"]) == (staff.username, session.public_id)
        assert event.metadata["files"] == list(session.files.values("name", "sha256"))

    @pytest.mark.parametrize("path", [ACTIVATE, FALLBACK])
    def test_clients_may_not(self, tenant_api, path):
        session = a_session()
        assert tenant_api.post(path, {"sessionId": session.public_id}).status_code == 403
        assert words(session) == ["uploaded"]


class TestWhatDoesNotLoad:
    """Found out anew each time: the file was good when it came."""

    def spoilt(self, session, how):
        path = store.path_of(session.files.get().sha256)
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(b"x" * path.stat().st_size)

    @pytest.mark.parametrize("how", ["gone", "damaged"])
    def test_it_is_422_and_the_live_one_stays(self, admin_api, how):
        live, spoilt = a_session("active", content=a_model("Relu")), a_session()
        self.spoilt(spoilt, how)
        answer = activate(admin_api, spoilt)
        assert (answer.status_code, answer.json()["code"]) == (422, "MODEL_REFUSED")
        assert words(live, spoilt) == ["active", "uploaded"]

    def test_another_model_in_its_place_is_noticed(self, admin_api):
        session = a_session(content=a_model("Relu"))
        store.path_of(session.files.get().sha256).write_bytes(a_model("Tanh"))
        assert "damaged" in activate(admin_api, session).json()["error"]

    @pytest.mark.parametrize("how", ["gone", "damaged"])
    def test_a_fallback_that_does_not_load_changes_nothing(self, admin_api, how):
        live, fallback = a_session("active", content=a_model("Relu")), a_session("fallback")
        self.spoilt(fallback, how)
        assert admin_api.post(FALLBACK).status_code == 422
        assert words(live, fallback) == ["active", "fallback"]

    def test_what_loads_does(self, admin_api):
        session = a_session()
        assert activate(admin_api, session).status_code == 200
        assert words(session) == ["active"]

    def test_a_session_of_which_one_file_is_bad_is_bad(self, admin_api, monkeypatch):
        def check(self, name, path, *, sha256):
            if name == "bad.onnx":
                raise ModelRefused("no")

        monkeypatch.setattr(Checks, "model", check)
        session = a_session()
        file = session.files.get()
        ModelFile.objects.create(session=session, name="bad.onnx", sha256=file.sha256, size=file.size)
        assert activate(admin_api, session).status_code == 422


@quick
class TestFallback:
    def test_the_fallback_is_live_again_and_the_answer_is_the_dashboards(self, admin_api):
        first, second = chain(admin_api, 2)
        answer = admin_api.post(FALLBACK)
        assert strict(answer) == {
            "success": True,
            "message": "Models Risk v1 are live again",
            "sessionId": first.public_id,
            "fallbackSessionId": first.public_id,
            "fallback_session": first.public_id,
            "restarting": False,
        }
        assert words(first, second) == ["active", "archived"]

    def test_the_next_older_one_is_the_new_fallback(self, admin_api):
        sessions = chain(admin_api, 4)
        admin_api.post(FALLBACK)
        assert words(*sessions) == ["archived", "fallback", "active", "archived"]
        admin_api.post(FALLBACK)
        assert words(*sessions) == ["fallback", "active", "archived", "archived"]

    def test_one_that_was_rolled_back_is_no_choice_until_it_is_made_live_again(self, admin_api):
        first, bad = chain(admin_api, 2)
        admin_api.post(FALLBACK)
        new = a_session()
        activate(admin_api, new)
        admin_api.post(FALLBACK)
        assert words(first, bad, new) == ["active", "archived", "archived"]
        assert admin_api.post(FALLBACK).status_code == 404
        activate(admin_api, bad)
        activate(admin_api, new)
        assert words(first, bad, new) == ["archived", "fallback", "active"]

    def test_one_that_only_waited_is_no_choice(self, admin_api):
        waited = a_session("archived")
        chain(admin_api, 2)
        admin_api.post(FALLBACK)
        assert words(waited) == ["archived"]

    def test_without_a_fallback_it_is_404(self, admin_api):
        (live,) = chain(admin_api, 1)
        answer = admin_api.post(FALLBACK)
        assert (answer.status_code, answer.json()["code"]) == (404, "NO_FALLBACK")
        assert words(live) == ["active"]

    def test_it_is_a_warning_in_the_event_log(self, staff_api, staff):
        first, _ = chain(staff_api, 2)
        staff_api.post(FALLBACK)
        event = SystemEvent.objects.get(event_type="ml_models_rollback")
        assert (event.severity, event.actor) == ("warning", staff.username)
        assert event.metadata["session_id"] == first.public_id


class TestList:
    ROW = {
        "id": str,
        "session_id": str,
        "isLive": bool,
        "isFallback": bool,
        "fileCount": int,
        "files": [str],
        "status": OneOf("uploaded", "active", "fallback", "archived"),
        "totalSize": int,
        "createdAt": Time,
        "activatedAt": Null(Time),
    }

    def test_newest_first_without_the_archived_ones(self, admin_api):
        with time_machine.travel(datetime(2025, 1, 5, tzinfo=UTC), tick=False) as time:
            sessions = []
            for status in ("archived", "fallback", "active", "uploaded"):
                sessions.append(a_session(status))
                time.shift(60)
        rows = strict(admin_api.get(SESSIONS))
        assert_shape(rows, [self.ROW])
        flags = [(row["status"], row["isLive"], row["isFallback"]) for row in rows]
        assert flags == [("uploaded", False, False), ("active", True, False), ("fallback", False, True)]
        assert rows[0] == {
            "id": sessions[-1].public_id,
            "session_id": sessions[-1].public_id,
            "name": "Risk",
            "version": "1",
            "isLive": False,
            "isFallback": False,
            "fileCount": 1,
            "files": ["risk.onnx"],
            "status": "uploaded",
            "totalSize": len(a_model()),
            "createdAt": "2025-01-05T00:03:00Z",
            "activatedAt": None,
            "backtest": None,
            "failingSince": None,
            "failure": None,
        }

    @pytest.mark.parametrize(("query", "number"), [("true", 1), ("1", 1), ("false", 0), ("x", 0), ("", 0)])
    def test_archived_ones_are_shown_when_asked_for(self, admin_api, query, number):
        a_session("archived")
        assert len(admin_api.get(SESSIONS, {"include_archived": query}).json()) == number

    def test_no_sessions_are_an_empty_list(self, admin_api):
        assert admin_api.get(SESSIONS).json() == []

    @pytest.mark.parametrize(("there", "listed"), [(1, 1), (30, 10)])
    def test_ten_at_most_for_the_same_two_statements(self, admin_api, there, listed, django_assert_num_queries):
        for _ in range(there):
            a_session()
        with django_assert_num_queries(2):
            assert len(admin_api.get(SESSIONS).json()) == listed

    def test_clients_may_not_see_it(self, tenant_api):
        assert tenant_api.get(SESSIONS).status_code == 403


class TestStatus:
    def test_without_a_live_session_nothing_is_loaded(self):
        a_session()
        assert engine_status()["modelStatus"] == {
            "loaded": False,
            "filesUploaded": 0,
            "activeModels": [],
            "name": None,
            "version": None,
            "files": [],
        }

    def test_the_live_session_is_named(self, admin_api):
        session = a_session("active")
        files = [{"name": "risk.onnx", "size": len(a_model()), "modified": clock.isoformat(session.created_at)}]
        assert admin_api.get("/api/admin/system-health").json()["modelStatus"] == {
            "loaded": True,
            "filesUploaded": 1,
            "activeModels": [{"name": "Risk", "version": "1", "active": True}],
            "name": "Risk",
            "version": "1",
            "files": files,
        }

    def test_one_whose_file_is_gone_is_not_loaded(self):
        store.path_of(a_session("active").files.get().sha256).unlink()
        assert engine_status()["modelStatus"]["loaded"] is False

    def test_the_dashboards_walk_from_upload_to_rollback(self, staff_api):
        ids = []
        for node in ("Sigmoid", "Relu"):
            ids.append(send(staff_api, {"risk.onnx": a_model(node)}).json()["sessionId"])
            assert staff_api.post(ACTIVATE, {"sessionId": ids[-1]}).status_code == 200
        assert [(row["id"], row["isLive"], row["isFallback"]) for row in staff_api.get(SESSIONS).json()] == [
            (ids[1], True, False),
            (ids[0], False, True),
        ]
        assert staff_api.post(FALLBACK).json()["fallbackSessionId"] == ids[0]
        assert [(row["id"], row["isLive"]) for row in staff_api.get(SESSIONS).json()] == [(ids[0], True)]


@pytest.mark.parametrize("status", ["active", "fallback"])
def test_the_database_itself_allows_one_live_and_one_fallback(status):
    a_session(status)
    with pytest.raises(IntegrityError), transaction.atomic():
        a_session(status)


class TestSweep:
    """`prune_history` removes what no row names."""

    def prune(self, capsys, *options):
        call_command("prune_history", *options)
        return capsys.readouterr().out

    def orphan(self, name="0" * 64, *, age=timedelta(days=2)):
        store.models().mkdir(exist_ok=True)
        path = store.models() / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        then = (clock.now() - age).timestamp()
        os.utime(path, (then, then))
        return path

    def test_old_orphans_and_abandoned_uploads_go(self, capsys):
        paths = [self.orphan(), self.orphan("incoming/x.part")]
        assert "files of models 2" in self.prune(capsys)
        assert not any(path.exists() for path in paths)

    def test_a_dry_run_only_counts_them(self, capsys):
        path = self.orphan()
        assert "files of models 1" in self.prune(capsys, "--dry-run")
        assert path.exists()

    def test_young_ones_stay_because_an_upload_may_be_under_way(self, capsys):
        path = self.orphan(age=timedelta(hours=1))
        self.prune(capsys)
        assert path.exists()

    @pytest.mark.parametrize("status", ["uploaded", "active", "fallback", "archived"])
    def test_files_of_every_session_stay(self, capsys, status):
        sha256 = a_session(status).files.get().sha256
        self.orphan(sha256)
        self.prune(capsys)
        assert store.path_of(sha256).exists()

    def test_sessions_that_never_were_live_go_with_their_age(self, capsys, settings):
        then = clock.now() - timedelta(days=settings.EVENT_RETENTION_DAYS + 1)
        kept = [a_session("archived", created_at=then, activated_at=then), a_session("uploaded", created_at=then)]
        a_session("archived", created_at=then)
        self.prune(capsys)
        assert set(statuses()) == {session.public_id for session in kept}

    def test_without_a_directory_there_is_nothing_to_do(self, capsys):
        assert "files of models 0" in self.prune(capsys)
        assert not store.models().exists()


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
@quick
class TestAtOnce:
    def together(self, calls):
        barrier = threading.Barrier(len(calls))

        def call(path, body):
            api = JsonClient().bearer(django_settings.ADMIN_TOKEN)
            barrier.wait()
            try:
                return api.post(path, body).status_code
            finally:
                connection.close()

        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(call, *zip(*calls, strict=True)))

    def test_of_several_activations_one_session_is_live_and_one_the_fallback(self):
        sessions = [a_session(content=str(n).encode()) for n in range(6)]
        assert self.together([(ACTIVATE, {"sessionId": session.public_id}) for session in sessions]) == [200] * 6
        found = list(statuses().values())
        assert (found.count("active"), found.count("fallback"), found.count("archived")) == (1, 1, 4)

    def test_of_several_activations_of_one_session_one_is_carried_out(self):
        session = a_session()
        answers = self.together([(ACTIVATE, {"sessionId": session.public_id})] * 5)
        assert sorted(answers) == [200, 409, 409, 409, 409]
        assert SystemEvent.objects.filter(event_type="ml_models_activated").count() == 1

    def test_rolling_back_while_another_is_made_live(self):
        a_session("active", content=b"1")
        a_session("fallback", content=b"2")
        new = a_session(content=b"3")
        answers = self.together([(FALLBACK, {}), (ACTIVATE, {"sessionId": new.public_id})])
        assert answers[1] == 200
        assert answers[0] in (200, 409)
        assert ModelSession.objects.filter(status="active").count() == 1


@quick
class TestConsole:
    PAGE = "/admin/decisions/modelsession/"

    def act(self, client, action, *sessions):
        data = {"action": action, "_selected_action": [session.pk for session in sessions]}
        answer = client.post(self.PAGE, data, follow=True)
        return [str(message) for message in answer.context["messages"]]

    def test_sessions_are_made_live_and_rolled_back(self, client, staff):
        client.force_login(staff)
        first, second = a_session(), a_session()
        assert self.act(client, "make_live", first) == [f"Models Risk v1 are live ({UNTRIED})"]
        self.act(client, "make_live", second)
        assert self.act(client, "roll_back", second) == ["Models Risk v1 are live again"]
        assert words(first, second) == ["active", "archived"]
        assert set(SystemEvent.objects.values_list("actor", flat=True)) == {staff.username}

    def test_a_refusal_is_shown(self, client, staff):
        client.force_login(staff)
        live, other = a_session("active"), a_session()
        assert self.act(client, "make_live", live) == ["This model session is live already"]
        assert self.act(client, "make_live", live, other) == ["Select one session"]
        assert self.act(client, "roll_back", live) == ["There is no fallback session to go back to"]

    def test_who_may_only_look_changes_nothing(self, client):
        looker = OperatorFactory(is_superuser=False)
        looker.user_permissions.add(Permission.objects.get(codename="view_modelsession"))
        client.force_login(looker)
        session = a_session()
        self.act(client, "make_live", session)
        assert words(session) == ["uploaded"]
