"""All processes of a production machine, as deploy/ has them, each with its log in one directory."""

import json
import os
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from spotopt.e2e import nginx
from spotopt.e2e.processes import Service, listening, port_of, run, until
from spotopt.simulator.server import ROOT, free_port

# The program, as in the units: SIGUSR2 runs it again, which `python -m gunicorn` does not survive.
GUNICORN = [str(Path(sys.executable).with_name("gunicorn")), "--config", "deploy/gunicorn.conf.py"]
URGENT = ["--workers", "1", "--threads", "4", "spotopt.wsgi"]  # as in its unit
EVENTS = ["--worker-class", "asgi", "--workers", "1", "--threads", "1", "spotopt.asgi"]  # as in its unit
MANAGE = [sys.executable, "manage.py"]
SECRETS = ("SECRET_KEY", "ADMIN_TOKEN", "TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS")
START_SECONDS = 90


class Stack:
    """The database is there already: DB_HOST and so on say where."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "log"
        self.backups = directory / "backups"
        for made in (self.logs, self.backups):
            made.mkdir()
        self.certificate, key = nginx.write_certificate(directory)
        web, urgent, events = listening(), listening(), listening()
        self.plain_port, self.tls_port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.tls_port}"
        self.web_url = f"http://127.0.0.1:{port_of(web)}"
        self.environment = self._environment()
        ports = {80: self.plain_port, 443: self.tls_port}
        ports |= {8000: port_of(web), 8001: port_of(events), 8002: port_of(urgent)}
        sites = nginx.site((ROOT / "deploy/nginx.conf").read_text(), certificate=self.certificate, key=key, ports=ports)
        file = directory / "nginx.conf"
        file.write_text(nginx.configuration(directory, sites))
        self.pid_file = directory / "web.pid"
        self.nginx = self._service("nginx", ["nginx", "-p", str(directory), "-c", str(file), "-e", "stderr"])
        self.web = self._service("web", [*GUNICORN, "--pid", str(self.pid_file), "spotopt.wsgi"])
        self.web.sock = web
        self.urgent = self._service("urgent", [*GUNICORN, *URGENT])
        self.urgent.sock = urgent
        self.events = self._service("events", [*GUNICORN, *EVENTS])
        self.events.environment = self.environment | {"DB_CONN_MAX_AGE": "0"}
        self.events.sock = events
        self.jobs = [self._service(f"jobs-{n}", [*MANAGE, "run_jobs"]) for n in (1, 2)]  # as on two machines
        self._tls = ssl.create_default_context(cafile=str(self.certificate))

    def _environment(self) -> dict[str, str]:
        """What a production .env holds; nothing of this tree's own .env may shine through."""
        inherited = {n: v for n, v in os.environ.items() if n.startswith("DB_") or n in ("PATH", "HOME", "LANG")}
        unset = ("CORS_ORIGINS", "SIMULATED_CLOCK_FILE", "STATIC_ROOT", "DASHBOARD_DIR", "EMAIL_HOST", "METRICS_TOKEN")
        return (
            inherited
            | dict.fromkeys(unset, "")
            | {name: secrets.token_hex(32) for name in SECRETS}
            | {
                "ENVIRONMENT": "production",
                "DEBUG": "false",
                "HTTPS": "true",
                "ALLOWED_HOSTS": "127.0.0.1,localhost",
                "TRUSTED_PROXIES": "127.0.0.1",
                "LOG_DIR": str(self.logs),
                "LOG_LEVEL": "INFO",
                "MODEL_DIR": str(self.directory / "models"),
                "DECISION_ENGINE_DIR": str(self.directory / "engines"),
                "WEB_CONCURRENCY": "2",
                "WEB_THREADS": "8",
            }
        )

    def _service(self, name: str, command: list[str]) -> Service:
        return Service(name, command, environment=self.environment, log=self.logs / f"{name}.log")

    @property
    def services(self) -> list[Service]:
        return [self.nginx, self.web, self.urgent, self.events, *self.jobs]

    def manage(self, *arguments: str, database: str = "", codes: Sequence[int] = (0,)) -> str:
        """The output of a management command, by default on the server's own database."""
        environment = self.environment | ({"DB_DATABASE": database} if database else {})
        return run(
            arguments[0], [*MANAGE, *arguments], environment=environment, log=self.logs / "manage.log", codes=codes
        )

    def start(self) -> None:
        for service in (self.web, self.urgent, self.events, self.nginx):
            service.start()
        until(self.is_healthy, what=f"{self.url}/health answers", within_seconds=START_SECONDS)

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=10, context=self._tls) as answer:  # noqa: S310
                return bool(json.load(answer)["status"] == "success")
        except (urllib.error.URLError, OSError):
            return False

    def destroy(self) -> None:
        for service in reversed(self.services):
            service.destroy()
        for service in (self.web, self.urgent, self.events):
            if service.sock:
                service.sock.close()
