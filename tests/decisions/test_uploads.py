"""POST …/ml-models/upload and …/decision-engine/upload (dashboard-api 3.1, 3.2): what is taken, and what is not."""

import errno
import gzip
import hashlib
import io
import os
import zipfile

import pytest

from clients.models import IdempotencyKey
from decisions import store, uploads
from decisions.features import FEATURES
from decisions.models import ModelFile, ModelSession
from decisions.services import checks, deciding, workers
from notifications.models import SystemEvent
from tests.contract.shapes import OneOf, assert_shape, strict
from tests.decisions.models import (
    ENGINE,
    UPLOAD,
    a_model,
    a_model_that_claims_40_gigabytes,
    a_model_that_reads,
    send,
    statuses,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]

MULTIPART = "multipart/form-data; boundary=b"
MIB = 2**20


def on_disk(directory):
    """Names of all files below, the lock left out."""
    return sorted(path.name for path in directory.rglob("*") if path.is_file() and path.name != ".lock")


def refused(answer, status, model_dir):
    """The error text, after seeing that nothing is left of the upload."""
    body = strict(answer)
    assert (answer.status_code, body["status"], body["message"]) == (status, "error", body["error"]), body
    assert on_disk(model_dir.parent) == []
    assert not ModelSession.objects.exists()
    return body["error"]


def raw(api, body, content_type=MULTIPART, path=UPLOAD):
    return api.generic("POST", path, body, content_type=content_type)


def part(name, content=b"x", field="files"):
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


class TestModels:
    def test_the_answer_names_the_session_that_waits(self, admin_api):
        answer = send(admin_api, {"risk.onnx": a_model(), "price.onnx": a_model("Relu")})
        session = ModelSession.objects.get()
        assert answer.status_code == 200
        body = strict(answer)
        assert_shape(body, {"success": OneOf(True), "message": str, "sessionId": str})
        assert body | {"message": ""} == {
            "success": True,
            "message": "",
            "files": ["risk.onnx", "price.onnx"],
            "files_uploaded": 2,
            "sessionId": session.public_id,
            "session_id": session.public_id,
            "requiresRestart": True,
            "model_status": {
                "filesUploaded": 2,
                "totalSize": len(a_model()) + len(a_model("Relu")),
                "sessionType": "pending_activation",
            },
        }
        assert session.status == "uploaded"

    def test_inputs_and_outputs_are_on_record(self, admin_api):
        send(admin_api, {"risk.onnx": a_model()})
        assert ModelFile.objects.get().metadata == {
            "inputs": [{"name": "features", "type": "tensor(float)", "shape": ["pools", len(FEATURES)]}],
            "outputs": [{"name": "interruption_probability_24h", "type": "tensor(float)", "shape": ["pools", 1]}],
            "producer": "tests",
        }

    def test_a_file_lies_under_its_hash_for_the_server_alone(self, admin_api, model_dir):
        send(admin_api, {"risk.onnx": a_model()})
        path = model_dir / ModelFile.objects.get().sha256
        assert path.read_bytes() == a_model()
        assert path.stat().st_mode & 0o777 == 0o600
        assert on_disk(model_dir) == [path.name]

    def test_equal_files_are_kept_once(self, admin_api, model_dir):
        for _ in range(2):
            assert send(admin_api, {"a.onnx": a_model(), "b.onnx": a_model()}).status_code == 200
        assert ModelFile.objects.count() == 4
        assert len(on_disk(model_dir)) == 1

    @pytest.mark.parametrize("field", ["files", "files[]", "file", "model"])
    def test_every_field_name_of_the_dashboards_works(self, admin_api, field):
        answer = send(admin_api, {"risk.onnx": a_model()}, field=field)
        assert answer.json()["files"] == ["risk.onnx"]

    def test_name_and_version_are_the_uploaders(self, admin_api):
        send(admin_api, {"a.onnx": a_model()}, model_name="Risk", model_version="v2.1", model_type="trees")
        session = ModelSession.objects.get()
        assert (session.name, session.version, session.metadata) == ("Risk", "2.1", {"model_type": "trees"})

    def test_without_them_they_come_from_file_and_session(self, admin_api):
        send(admin_api, {"risk.onnx": a_model()})
        session = ModelSession.objects.get()
        assert (session.name, session.version) == ("risk", session.public_id[:8])

    def test_only_the_newest_that_waits_is_offered(self, admin_api):
        first, second = (send(admin_api, {"a.onnx": a_model()}).json()["sessionId"] for _ in range(2))
        assert statuses() == {first: "archived", second: "uploaded"}

    def test_the_event_says_who_and_which_content(self, staff_api, staff):
        send(staff_api, {"risk.onnx": a_model()})
        event = SystemEvent.objects.get(event_type="ml_models_uploaded")
        file = ModelFile.objects.get()
        assert (event.actor, event.metadata["files"]) == (staff.username, [{"name": file.name, "sha256": file.sha256}])

    def test_the_dashboards_page_may_upload_and_a_foreign_page_may_not(self, staff_api, model_dir):
        staff_api.credentials(HTTP_SEC_FETCH_SITE="cross-site")
        assert "page of this server" in refused(send(staff_api, {"a.onnx": a_model()}), 403, model_dir)
        staff_api.credentials(HTTP_SEC_FETCH_SITE="same-origin")
        assert send(staff_api, {"a.onnx": a_model()}).status_code == 200

    def test_a_client_may_not(self, tenant_api, model_dir):
        refused(send(tenant_api, {"a.onnx": a_model()}), 403, model_dir)

    def test_a_repeated_upload_is_carried_out_once(self, admin_api):
        headers = {"X-Request-ID": "once"}
        first, second = (send(admin_api, {"a.onnx": a_model()}, headers=headers) for _ in range(2))
        assert second.json() == first.json()
        assert ModelSession.objects.count() == 1
        other = send(admin_api, {"a.onnx": a_model("Relu")}, headers=headers)
        assert other.json()["code"] == "IDEMPOTENCY_MISMATCH"

    def test_a_repetition_may_be_larger_than_memory_allows(self, admin_api, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        answer = send(admin_api, {"a.onnx": a_model()}, headers={"X-Request-ID": "once"})
        assert answer.status_code == 200
        assert IdempotencyKey.objects.get().status_code == 200


class TestNames:
    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("../../etc/risk.onnx", "risk.onnx"),
            ("C:\\models\\risk.onnx", "risk.onnx"),
            ("/etc/passwd/../risk (1).ONNX", "risk (1).ONNX"),
        ],
    )
    def test_of_a_path_the_last_part_counts(self, admin_api, given, name):
        assert send(admin_api, {given: a_model()}).json()["files"] == [name]

    @pytest.mark.parametrize(
        "name",
        [
            "..",
            ".onnx",
            ".hidden.onnx",
            "a\x01.onnx",
            "a\u202eb.onnx",
            "a;b.onnx",
            "x" * 200 + ".onnx",
            "a\nb.onnx",
            "-rf.onnx",
        ],
    )
    def test_what_is_no_plain_name_is_refused(self, admin_api, model_dir, name):
        assert "name" in refused(send(admin_api, [("good.onnx", a_model()), (name, a_model())]), 400, model_dir)

    def test_a_name_counts_once_whatever_its_case(self, admin_api, model_dir):
        answer = send(admin_api, [("a.onnx", a_model()), ("dir/A.onnx", a_model("Relu"))])
        assert "Two files" in refused(answer, 400, model_dir)

    def test_other_types_are_refused_with_those_that_are_allowed(self, admin_api, model_dir):
        assert "Allowed: .onnx" in refused(send(admin_api, {"a.exe": b"x"}), 400, model_dir)

    @pytest.mark.parametrize("name", ["a.pkl", "a.JOBLIB", "a.h5", "a.pb", "a.pth", "a.pt", "a.onnx.pkl"])
    def test_what_runs_code_when_loaded_is_refused_with_a_way_out(self, admin_api, model_dir, name):
        assert "Convert the model to ONNX" in refused(send(admin_api, {name: b"x"}), 400, model_dir)

    def test_a_server_that_allows_pickles_opens_them_where_they_do_no_harm(self, admin_api, settings, model_dir):
        settings.ALLOW_PICKLE_MODELS = True
        canary = model_dir.parent / "canary"
        content = f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()  # a pickle that runs a command
        session_id = send(admin_api, {"a.pkl": content}).json()["sessionId"]
        answer = admin_api.post("/api/admin/ml-models/activate", {"sessionId": session_id})
        assert (answer.status_code, statuses()) == (422, {session_id: "uploaded"})
        assert "cannot be used" in answer.json()["error"]
        assert not canary.exists()

    def test_other_formats_are_kept_and_never_live(self, admin_api, settings):
        settings.ALLOW_PICKLE_MODELS = True
        session_id = send(admin_api, {"a.h5": b"x"}).json()["sessionId"]
        answer = admin_api.post("/api/admin/ml-models/activate", {"sessionId": session_id})
        assert (answer.status_code, statuses()) == (422, {session_id: "uploaded"})
        assert "Convert the model to ONNX" in answer.json()["error"]


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("risk.onnx", content)
    return file.getvalue()


class TestContent:
    @pytest.mark.parametrize(
        "content",
        [
            b"not a model",
            os.urandom(10_000),
            a_model()[:-20],
            zipped(b"\0" * (20 * MIB)),
            gzip.compress(b"\0" * (20 * MIB)),
            a_model_that_claims_40_gigabytes(),
            a_model_that_reads("/etc/passwd"),
            a_model_that_reads("../../../etc/passwd"),
        ],
        ids=["text", "noise", "cut", "zip bomb", "gzip bomb", "claims 40 GB", "reads a path", "reads upwards"],
    )
    def test_what_does_not_load_is_refused_whole(self, admin_api, model_dir, content):
        answer = send(admin_api, {"good.onnx": a_model(), "bad.onnx": content})
        text = refused(answer, 422, model_dir)
        assert text == "bad.onnx cannot be used: ONNX Runtime cannot load it"

    def test_the_live_session_stays_live(self, admin_api):
        live = send(admin_api, {"a.onnx": a_model()}).json()["sessionId"]
        admin_api.post("/api/admin/ml-models/activate", {"sessionId": live})
        send(admin_api, {"bad.onnx": b"x"})
        new = send(admin_api, {"b.onnx": a_model("Relu")}).json()["sessionId"]
        assert statuses() == {live: "active", new: "uploaded"}

    def test_a_model_that_takes_too_long_is_refused(self, admin_api, model_dir, monkeypatch):
        monkeypatch.setattr(checks, "SECONDS", 0.01)
        assert "within" in refused(send(admin_api, {"a.onnx": a_model()}), 422, model_dir)

    def test_a_model_that_kills_its_process_is_refused(self, admin_api, model_dir, monkeypatch, tmp_path):
        monkeypatch.setattr(checks, "SANDBOX", program(tmp_path, "import os; os.kill(os.getpid(), 11)"))
        assert "crashed" in refused(send(admin_api, {"a.onnx": a_model()}), 422, model_dir)

    def test_a_server_that_cannot_check_says_so(self, admin_api, model_dir, monkeypatch, tmp_path):
        script = """print('{"broken": "no module /opt/secret"}')"""
        monkeypatch.setattr(checks, "SANDBOX", program(tmp_path, script))
        assert "secret" not in refused(send(admin_api, {"a.onnx": a_model()}), 503, model_dir)

    def test_the_process_that_looks_inherits_nothing_of_the_server(self, admin_api, monkeypatch, tmp_path):
        monkeypatch.setenv("ADMIN_TOKEN", "secret")
        report = "import json, os; print(json.dumps({'refused': json.dumps([sorted(os.environ), os.getcwd()])}))"
        monkeypatch.setattr(checks, "SANDBOX", program(tmp_path, report))
        text = send(admin_api, {"a.onnx": a_model()}).json()["error"]
        assert text.removeprefix("a.onnx cannot be used: ") in ('[[], "/"]', '[["LC_CTYPE"], "/"]')  # Python's own


def program(tmp_path, source):
    path = tmp_path.with_suffix(".py")  # beside the directories whose files are counted
    path.write_text(source)
    return path


class TestBodies:
    def test_nothing_chosen(self, admin_api, model_dir):
        for answer in (
            raw(admin_api, b""),
            raw(admin_api, b"", "application/json"),
            raw(admin_api, b"--b--\r\n"),
            raw(admin_api, part("") + b"--b--\r\n"),
            admin_api.post(UPLOAD, {"files": "text"}, format="multipart"),
        ):
            assert "No file" in refused(answer, 400, model_dir)

    def test_an_empty_file(self, admin_api, model_dir):
        assert "empty" in refused(send(admin_api, {"a.onnx": b""}), 400, model_dir)

    def test_another_field(self, admin_api, model_dir):
        assert "`files`" in refused(send(admin_api, {"a.onnx": a_model()}, field="other"), 400, model_dir)

    def test_the_later_dashboards_json_header_on_a_form(self, admin_api, model_dir):
        refused(raw(admin_api, part("a.onnx") + b"--b--\r\n", "application/json"), 415, model_dir)
        refused(raw(admin_api, b"x", "text/plain"), 415, model_dir)

    @pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=\u00e4"])
    def test_a_form_without_a_boundary(self, admin_api, model_dir, content_type):
        refused(raw(admin_api, part("a.onnx"), content_type), 400, model_dir)

    def test_a_body_that_ends_early(self, admin_api, model_dir):
        body = part("a.onnx", a_model()) + b"--b--\r\n"
        sent = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body[:-40])}
        answer = admin_api.generic("POST", UPLOAD, body, content_type=MULTIPART, **sent)
        assert "ended early" in refused(answer, 400, model_dir)

    def test_too_many_files(self, admin_api, model_dir):
        answer = send(admin_api, {f"{n}.onnx": a_model() for n in range(21)})
        assert "at most 20" in refused(answer, 400, model_dir)

    def test_too_much_is_refused_before_anything_is_written(self, admin_api, model_dir, settings, monkeypatch):
        settings.MAX_UPLOAD_BYTES = 1000
        monkeypatch.setattr(store, "new_staged", None)
        refused(send(admin_api, {"a.onnx": b"x" * 1000}), 413, model_dir)

    def test_a_body_of_101_mebibytes_is_refused(self, admin_api, model_dir, monkeypatch, settings):
        assert settings.MAX_UPLOAD_BYTES == 100 * MIB
        monkeypatch.setattr(store, "new_staged", None)
        answer = send(admin_api, {"a.onnx": bytes(101 * MIB)})
        assert "at most 100 MiB" in refused(answer, 413, model_dir)

    def test_a_body_that_hides_its_size_is_cut_off_on_the_way(self, admin_api, model_dir, settings):
        settings.MAX_UPLOAD_BYTES = 200_000
        body = part("a.onnx", b"x" * 400_000) + b"--b--\r\n"
        sent = {"CONTENT_LENGTH": "+450000", "wsgi.input": io.BytesIO(body)}
        answer = admin_api.generic("POST", UPLOAD, body, content_type=MULTIPART, **sent)
        refused(answer, 413, model_dir)

    def test_more_than_other_bodies_may_have_streams_to_disk(self, admin_api, model_dir, every_model_loads):
        content = os.urandom(MIB) * 12
        answer = send(admin_api, {"a.onnx": content})
        assert answer.json()["model_status"]["totalSize"] == 12 * MIB
        assert admin_api.generic("POST", "/api/admin/ml-models/activate", content).status_code == 413

    @pytest.mark.parametrize("name", ["a.onnx", "a.pkl"])
    def test_a_refused_body_is_taken_to_its_end_or_browsers_would_not_see_why(
        self, admin_api, model_dir, settings, name
    ):
        settings.MAX_UPLOAD_BYTES = 800_000
        body = io.BytesIO(part(name, b"x" * (1_000_000 if name == "a.onnx" else 500_000)) + b"--b--\r\n")
        sent = {"CONTENT_LENGTH": str(len(body.getvalue())), "wsgi.input": body}
        answer = admin_api.generic("POST", UPLOAD, b"x", content_type=MULTIPART, **sent)
        refused(answer, 413 if name == "a.onnx" else 400, model_dir)
        assert body.read() == b""

    def test_strangers_bodies_are_not_read(self, anonymous_api, model_dir):
        body = io.BytesIO(part("a.onnx") + b"--b--\r\n")
        sent = {"CONTENT_LENGTH": str(200 * MIB), "wsgi.input": body}
        refused(anonymous_api.generic("POST", UPLOAD, b"x", content_type=MULTIPART, **sent), 401, model_dir)
        assert body.tell() == 0

    @pytest.mark.parametrize("at", ["new_staged", "keep"])
    def test_a_full_disk(self, admin_api, model_dir, monkeypatch, at, every_model_loads):
        def fail(*args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")

        monkeypatch.setattr(store, at, fail)
        text = refused(send(admin_api, {"a.onnx": a_model()}), 507, model_dir)
        assert text == "The server has no room for these files"

    def test_a_disk_that_fills_up_on_the_way(self, admin_api, model_dir):
        import resource
        import signal

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
        try:
            answer = send(admin_api, {"a.onnx": b"x" * (3 * MIB)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        refused(answer, 507, model_dir)


class TestEngines:
    SOURCE = b"class DecisionEngine:\n    def decide(self, situation):\n        return {'action': 'stay'}\n"

    def send(self, api, files, **options):
        return send(api, files, path=ENGINE, **options)

    def test_they_are_switched_off_until_somebody_switches_them_on(self, admin_api, model_dir, monkeypatch):
        monkeypatch.setattr(uploads, "_parse", None)  # would crash: nothing is made of the body
        answer = self.send(admin_api, {"engine.py": self.SOURCE})
        assert answer.json()["code"] == "CODE_UPLOAD_DISABLED"
        refused(answer, 403, model_dir)

    @pytest.fixture
    def allowed(self, settings):
        settings.ALLOW_ENGINE_UPLOADS = True

    def test_a_sound_one_is_live_at_once_and_the_answer_is_the_dashboards(self, allowed, admin_api):
        answer = self.send(admin_api, {"engine.py": self.SOURCE}, field="engine")
        version = hashlib.sha256(self.SOURCE).hexdigest()[:8]
        assert strict(answer) == {
            "success": True,
            "message": f"Decision engine engine.py {version} is live",
            "files": ["engine.py"],
            "restarting": False,
            "engine_status": {"loaded": True, "type": "engine.py", "version": version},
        }

    def test_a_refusal_is_put_on_record(self, allowed, staff_api, staff, model_dir):
        refused(self.send(staff_api, {"engine.py": b"x = 1"}), 422, model_dir)
        event = SystemEvent.objects.get(event_type="decision_engine_refused")
        assert (event.actor, event.severity) == (staff.username, "warning")
        assert [file["name"] for file in event.metadata["files"]] == ["engine.py"]

    def test_a_machine_that_cannot_contain_code_says_so(self, allowed, admin_api, model_dir, monkeypatch):
        def fail(*args, **kwargs):
            raise workers.CannotContain("seccomp is refused")

        monkeypatch.setattr(deciding, "started", fail)
        answer = self.send(admin_api, {"engine.py": self.SOURCE})
        assert answer.json()["code"] == "ENGINE_WORKER_MISSING"
        assert "seccomp" not in refused(answer, 422, model_dir)

    @pytest.mark.parametrize(
        ("files", "why"),
        [
            ({"a.py": SOURCE, "b.py": SOURCE}, "one Python file"),
            ({"a.pkl": b"cos\nsystem\n."}, "pickle"),
        ],
        ids=["two", "pickle"],
    )
    def test_an_engine_is_one_python_file(self, allowed, admin_api, model_dir, files, why):
        assert why in refused(self.send(admin_api, files), 422, model_dir)

    @pytest.mark.parametrize(
        ("source", "why"),
        [
            (b"class DecisionEngine(", "not Python: line 1"),
            (b"\0", "not Python"),
            (b"(" * 10**6, "not Python"),
            (b"-" * 900_000 + b"1", "not Python"),
            (b"x = 1", "no class DecisionEngine"),
            (b"class DecisionEngine: pass", "no class DecisionEngine"),
            (b"#" * (MIB + 1), "too large"),
        ],
        ids=["cut", "NUL", "nested", "nested too", "no class", "no method", "large"],
    )
    def test_what_is_no_engine_is_refused(self, allowed, admin_api, model_dir, source, why):
        assert why in refused(self.send(admin_api, {"engine.py": source}), 422, model_dir)

    def test_what_it_does_while_it_is_loaded_does_no_harm(self, allowed, admin_api, model_dir):
        canary = model_dir.parent / "canary"
        source = f"open({str(canary)!r}, 'w')\n".encode() + self.SOURCE
        assert "cannot be loaded" in refused(self.send(admin_api, {"engine.py": source}), 422, model_dir)
        assert not canary.exists()

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ("while True: pass", "within"),
            ("return {'action': 'switch_spot', 'target_pool_id': 'm5.large.us-east-1e'}", "not to be had"),
            ("return {'action': 'switch_ondemand'}", "not to be had"),
            ("return 'stay'", "no decision"),
            ("return {'action': ['stay']}", "no decision"),
            ("raise ValueError('no')", "ValueError: no"),
        ],
        ids=["loops", "a limit", "a hold", "text", "a list", "raises"],
    )
    def test_one_that_does_not_answer_as_it_should_is_refused(
        self, allowed, admin_api, model_dir, monkeypatch, body, why
    ):
        if why == "within":
            monkeypatch.setattr(deciding, "SECONDS", 1.0)
        source = f"class DecisionEngine:\n    def decide(self, situation):\n        {body}\n"
        assert why in refused(self.send(admin_api, {"engine.py": source.encode()}), 422, model_dir)

    @pytest.mark.parametrize("name", ["engine.onnx", "engine.txt", "engine", ".py"])
    def test_other_types_are_refused(self, allowed, admin_api, model_dir, name):
        refused(self.send(admin_api, {name: self.SOURCE}), 400, model_dir)

    def test_a_client_may_not(self, allowed, tenant_api, model_dir):
        refused(self.send(tenant_api, {"engine.py": self.SOURCE}), 403, model_dir)
