"""What was uploaded runs in a process that can do nothing but compute (issue 5, 6), whatever it tries."""

import hashlib
import os
import pickle
import time
from pathlib import Path

import pytest

from decisions.services import workers
from decisions.services.workers import FilesRefused, Kind, Runnable, WorkerFailed, started
from tests.decisions.models import a_model_that_claims_40_gigabytes

DECIDE = "class DecisionEngine:\n    def decide(self, situation):\n"


def engine(body):
    return DECIDE + "".join(f"        {line}\n" for line in body.splitlines())


@pytest.fixture
def ask(tmp_path):
    def ask(content, *, name="engine.py", question=(1,), seconds=5.0, most_bytes=2000):
        content = content if isinstance(content, bytes) else content.encode()
        path = tmp_path / hashlib.sha256(content).hexdigest()
        path.write_bytes(content)
        kind = Kind.ENGINE if name.endswith(".py") else Kind.MODELS
        with started(kind, [Runnable(name, path, path.name)], seconds=seconds) as worker:
            return worker.ask(question, most_bytes=most_bytes)

    return ask


def children():
    """Processes of ours, those that ended and were not reaped included."""
    mine = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else ()
        except OSError:
            continue
        if fields and int(fields[1]) == os.getpid():
            mine.append(entry.name)
    return mine


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = children(), sorted(os.listdir("/proc/self/fd"))
    yield
    assert (children(), sorted(os.listdir("/proc/self/fd"))) == before


def test_an_engine_computes(ask):
    body = "import math, statistics\nreturn {'root': math.sqrt(situation), 'mean': statistics.mean([1, 2])}"
    assert ask(engine(body), question=[4, 9]) == [{"root": 2.0, "mean": 1.5}, {"root": 3.0, "mean": 1.5}]


@pytest.mark.parametrize(
    "body",
    [
        "import os; os.fork()",
        "import posix; posix.posix_spawn('/bin/true', ['true'], {})",
        "import os; os.execv('/bin/true', ['true'])",
        "import _thread; _thread.start_new_thread(print, ())",
        "import socket",
        "import ctypes; ctypes.CDLL(None).socket(2, 1, 0) == -1 and 1 / 0",
        "import ctypes; ctypes.CDLL(None).syscall(57) == -1 and 1 / 0",  # fork
        "import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 57) == -1 and 1 / 0",  # by the x32 way
        "open('/etc/passwd')",
        "open('/proc/self/environ')",
        "import os; open(f'/proc/{os.getppid()}/environ')",
        "import os; os.listdir('/')",
        "import os; os.stat('/')",
        "import os; os.mkdir('/tmp/planted')",
        "import os; os.symlink('/', '/tmp/planted')",
        "import os; os.memfd_create('x')",
        "import os; os.pipe()",
        "import os; os.dup(1)",
        "import os; os.kill(os.getppid(), 0)",
        "import os; os.setuid(0)",
        "import tempfile; tempfile.mkdtemp()",
    ],
)
def test_an_engine_opens_starts_and_signals_nothing(ask, body):
    with pytest.raises(WorkerFailed, match=r"PermissionError|not permitted|can't start new thread|No module|division"):
        ask(engine(body))
    assert not os.path.lexists("/tmp/planted")  # noqa: S108


def test_it_deletes_nothing(ask, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("x")
    for act in ("remove(p)", "truncate(p, 0)", "rename(p, p + '2')", "chmod(p, 0)", "utime(p, (0, 0))"):
        with pytest.raises(WorkerFailed, match="not permitted"):
            ask(engine(f"import os; p = {str(precious)!r}; os.{act}"))
    assert precious.read_text() == "x"


def test_it_finds_nothing_of_the_servers_environment(ask, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "secret")
    (seen,) = ask(engine("import os, sys\nreturn [sorted(os.environ), sys.argv, sorted(sys.modules)]"))
    own = {"LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ORT_DISABLE_TELEMETRY"}
    assert set(seen[0]) <= own
    assert not {name.partition(".")[0] for name in seen[2]} & {"django", "spotopt", "decisions"}


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "for _ in iter(int, 1): print('x' * 10_000)",
        "import sys; sys.stdin.buffer.read()",
    ],
    ids=["loops", "sleeps", "prints for ever", "reads for ever"],
)
def test_what_never_answers_is_ended_in_time(ask, body):
    begin = time.monotonic()
    with pytest.raises(WorkerFailed, match="did not answer within 0.5 seconds"):
        ask(engine(body), seconds=0.5)
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize(
    "body",
    [
        "x = [0] * 10**10",
        "x = 'x'\nwhile True: x += x",
        "return 'x' * 10**7",
        "return 10**5000",
        "return float('nan') if situation is None else object()",
        "x = []\nfor _ in range(10**5): x = [x]\nreturn x",
        "def f(): f()\nf()",
        "raise SystemExit",
        "import os; os._exit(0)",
        "import ctypes; ctypes.string_at(0)",
        "import os; os.close(1)",
        "import os; os.write(1, b'garbage and more')",
        "import os; os.write(1, b'\\0\\0\\0\\2{}')",
        "import os; os.write(1, b'\\xff' * 100)",
        "import os; os.write(1, b'\\0\\0\\0\\4null'); os._exit(0)",
        "import os; os.write(1, b'\\0\\0\\0\\6' + b'[' * 6); os._exit(0)",
    ],
)
def test_what_crashes_or_answers_nonsense_is_a_failure(ask, body):
    with pytest.raises(WorkerFailed):
        ask(engine(body))


def test_what_is_printed_does_no_harm(ask):
    assert ask(engine("import sys\nprint('x' * 10**6); print('y', file=sys.stderr)\nreturn 1")) == [1]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import requests", "No module named 'requests'"),
        ("raise SystemExit", "SystemExit"),
        ("x = 1", "KeyError"),
        ("class DecisionEngine:\n    def __init__(self): raise ValueError('no')", "ValueError: no"),
        ("(" * 100_000, "MemoryError|SyntaxError|too much memory|RecursionError"),
        ("\ud800".encode("utf-8", "surrogatepass"), "SyntaxError|UnicodeDecodeError"),
    ],
)
def test_an_engine_that_does_not_load_is_refused(ask, source, why):
    with pytest.raises(FilesRefused, match=why):
        ask(source)


@pytest.mark.parametrize("body", ["while True: pass", "import os; os._exit(1)"])
def test_nor_does_one_that_misbehaves_while_it_is_loaded(ask, body):
    with pytest.raises(WorkerFailed):
        ask(body, seconds=0.5)


def test_another_content_than_the_hash_says_is_noticed(tmp_path):
    path = tmp_path / "engine"
    path.write_text(engine("return 1"))
    with (
        pytest.raises(FilesRefused, match="damaged"),
        started(Kind.ENGINE, [Runnable("engine.py", path, "0" * 64)], seconds=5),
    ):
        pass


def test_without_a_wall_code_does_not_run(ask, monkeypatch, tmp_path):
    """As on a processor whose system calls are not listed."""
    program = tmp_path / "worker.py"
    program.write_text(workers.WORKER.read_text().replace('"x86_64": (', '"x": (').replace('"aarch64": (', '"a": ('))
    monkeypatch.setattr(workers, "WORKER", program)
    with pytest.raises(workers.CannotContain, match="no list of system calls"):
        ask(engine("return 1"))


class Bomb:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class TestPickles:
    @pytest.mark.parametrize(
        "bomb",
        [
            Bomb(os.system, "touch /tmp/planted"),
            Bomb(os.mkdir, "/tmp/planted"),
            Bomb(open, "/tmp/planted", "w"),
            Bomb(eval, "__import__('os').fork()"),
            Bomb(exec, "while True: pass"),
            Bomb(bytearray, 10**11),
            Bomb(os._exit, 0),
        ],
        ids=["command", "directory", "file", "fork", "loop", "memory", "exit"],
    )
    def test_bombs_go_off_where_they_do_no_harm(self, ask, bomb):
        with pytest.raises(WorkerFailed):
            ask(pickle.dumps(bomb), name="model.pkl", seconds=2)
        assert not os.path.lexists("/tmp/planted")  # noqa: S108

    def test_a_billion_laughs(self, ask):
        nested = b"(lp0\n" + b"".join(b"(g%d\ng%d\nlp%d\n" % (n, n, n + 1) for n in range(40)) + b"."
        with pytest.raises(WorkerFailed):
            ask(nested, name="model.pkl", seconds=2)


@pytest.mark.parametrize("content", [b"", b"\0" * 10**6, a_model_that_claims_40_gigabytes()])
def test_what_is_no_onnx_is_refused(ask, content):
    with pytest.raises(FilesRefused):
        ask(content, name="model.onnx")
