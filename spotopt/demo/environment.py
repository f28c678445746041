"""What the demo keeps in its directory, and the environment of its processes."""

import os
import secrets
import struct
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("SECRET_KEY", "ADMIN_TOKEN", "TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS")
OPERATOR = "operator"
HISTORY_SECONDS = 30 * 86400  # simulated time begins this long ago, so that it does not run ahead of the calendar soon


class Directory:
    """`.demo/`: database, clock, logs, and `env` with the secrets; made at the first start, used again later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env_file = path / "env"
        self.clock_file = path / "clock"
        self.logs = path / "log"

    def prepare(self, *, host: str, port: int) -> dict[str, str]:
        """The variables that differ from the defaults, also written to `env` for use with manage.py."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        if not self.clock_file.exists():
            self.clock_file.write_bytes(struct.pack("<d", time.time() - HISTORY_SECONDS))
        variables = self._fixed() | {"FLASK_HOST": host, "FLASK_PORT": str(port)} | self._kept()
        self.env_file.touch(mode=0o600)
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        return variables

    @property
    def simulated_now(self) -> float:
        return float(struct.unpack("<d", self.clock_file.read_bytes())[0])

    def _fixed(self) -> dict[str, str]:
        """Empty ones are named on purpose: what stands in a .env file must not reach the demo."""
        unset = ["DB_HOST", "CORS_ORIGINS", "TRUSTED_PROXIES", "LOG_DIR", "STATIC_ROOT"]
        unset += ["METRICS_TOKEN", "METRICS_NETWORKS"]
        return dict.fromkeys(unset, "") | {
            "ENVIRONMENT": "demo",
            "DEBUG": "false",
            "HTTPS": "false",
            "ALLOWED_HOSTS": "*",
            "SQLITE_PATH": str(self.path / "spotopt.sqlite3"),
            "SIMULATED_CLOCK_FILE": str(self.clock_file),
            "LOG_LEVEL": "WARNING",  # at sixty times the pace a line per request would fill the disk
        }

    def _kept(self) -> dict[str, str]:
        stored: dict[str, str] = {}
        if self.env_file.exists():
            stored = dict(line.split("=", 1) for line in self.env_file.read_text().splitlines() if "=" in line)
        kept = {name: stored.get(name) or secrets.token_hex(32) for name in SECRETS}
        return kept | {"DEMO_PASSWORD": stored.get("DEMO_PASSWORD") or secrets.token_urlsafe(9)}


def child_environment(variables: dict[str, str]) -> dict[str, str]:
    return dict(os.environ) | variables
