"""A server of the simulation's own: gunicorn on a fresh database, its jobs, and both killed at the end (`--serve`)."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

import requests

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30
KEEP_ALIVE_SECONDS = 75


class ServerFailed(Exception):
    """The text ends with the last lines of the server's log."""


@dataclass
class JobRunner:
    """The long-lived child that runs management commands with the server's environment."""

    environment: dict[str, str]
    log: Path
    missing: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        with self.log.open("a") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [sys.executable, "-m", "spotopt.simulator.jobs"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,  # Ctrl-C is for the simulator, which then ends this
            )
        self._stdin = cast(TextIO, self._process.stdin)
        self._stdout = cast(TextIO, self._process.stdout)

    def run(self, name: str, *arguments: str) -> str | None:
        """The command's output; None when this server has no such command. Raises ServerFailed."""
        with self._lock:
            self._stdin.write(json.dumps({"name": name, "arguments": arguments}) + "\n")
            self._stdin.flush()
            line = self._stdout.readline()
        if not line:
            raise ServerFailed(f"The job runner ended during {name}. {tail(self.log)}")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("missing"):
            self.missing.add(name)
            return None
        if not answer["ok"]:
            raise ServerFailed(f"{name} failed: {answer['output']}")
        return str(answer["output"])

    def close(self) -> None:
        end(self._process)
        self._stdin.close()
        self._stdout.close()


class Server:
    """`directory` holds the database (SQLite) and the logs; with DB_HOST the database is a new one on that server.

    Without a `clock_file` it lives in real time.
    """

    def __init__(
        self, *, directory: Path, clock_file: Path | None = None, port: int = 0, workers: int = 2, threads: int = 4
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "server.log"
        self.admin_token = secrets.token_hex(24)
        self.database = f"fleet_{os.getpid()}_{secrets.token_hex(3)}" if os.environ.get("DB_HOST") else ""
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "spotopt.settings",
            "SIMULATED_CLOCK_FILE": str(clock_file or ""),
            "AGENT_MEMORY": "false" if clock_file else "true",  # it counts in real seconds; this clock may be stretched
            "SQLITE_PATH": str(directory / "fleet.sqlite3"),
            "ADMIN_TOKEN": self.admin_token,
            "SECRET_KEY": secrets.token_hex(32),
            "DEBUG": "false",
            "ENVIRONMENT": "production",
            "HTTPS": "false",
            "HOST": "127.0.0.1",
            "FLASK_HOST": "127.0.0.1",
            "PORT": str(self.port),
            "FLASK_PORT": str(self.port),
            "WEB_CONCURRENCY": str(workers),
            "WEB_THREADS": str(threads),
            "LOG_LEVEL": "WARNING",
            "LOG_DIR": "",
            "TRUSTED_PROXIES": "",
            "COMMAND_RETENTION_DAYS": "3650",  # every order of the run is asked for at its end
        }
        for variable in ("TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS", "FLASK_DEBUG", "FLASK_ENV"):
            self.environment.pop(variable, None)
        if self.database:
            self.environment |= {"DB_DATABASE": self.database}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Also the id of the process group of all its workers."""
        return self._process.pid if self._process else None

    def prepare(self) -> JobRunner:
        """Create the database and its tables."""
        if self.database:
            self._on_database_server(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
        command = [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity", "0"]
        with self.log.open("a") as log:
            done = subprocess.run(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, check=False)  # noqa: S603
        if done.returncode:
            raise ServerFailed(f"migrate failed. {tail(self.log)}")
        return JobRunner(self.environment, self.log)

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py"]
        command += ["--keep-alive", str(KEEP_ALIVE_SECONDS), "spotopt.wsgi"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter)
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self._await_health()

    def kill(self) -> None:
        """SIGKILL to the master and all workers at once: no request is finished, nothing is flushed."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        if self._process:
            end(self._process)
        if self.database:
            self._on_database_server(f"DROP DATABASE IF EXISTS {self.database}")

    def create_client(self, name: str) -> tuple[str, str]:
        """(client id, token)"""
        response = requests.post(
            f"{self.url}/api/admin/clients/create",
            json={"name": name},
            headers={"Authorization": f"Bearer {self.admin_token}"},
            timeout=30,
        )
        if response.status_code >= 300:
            raise ServerFailed(f"The client could not be created: {response.status_code} {response.text[:300]}")
        client = response.json()["client"]
        return client["id"], client["token"]

    def _await_health(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process and self._process.poll() is None:
            try:
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise ServerFailed(f"The server did not start. {tail(self.log)}")

    def _on_database_server(self, statement: str) -> None:
        connection = database_connection()
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()


def database_connection(database: str = "") -> Any:
    """To the server that DB_HOST names, past Django: it commits each statement by itself."""
    import MySQLdb  # type: ignore[import-untyped]  # only where MariaDB or MySQL is used

    return MySQLdb.connect(
        host=os.environ["DB_HOST"],
        port=int(os.environ.get("DB_PORT", "3306")),
        user=os.environ.get("DB_USER", "spotopt"),
        password=os.environ.get("DB_PASSWORD", ""),
        database=database,
        autocommit=True,
    )


def end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def tail(log: Path, lines: int = 15) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "Last lines of its log:\n" + "\n".join(text.splitlines()[-lines:])


def temporary_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="spotopt-fleet-"))
