"""Somebody who writes all the time, so that something is always under way when a node dies."""

import threading
import time
from pathlib import Path

import requests

from spotopt.e2e.database import Database
from spotopt.simulator.transport import TIMEOUT_SECONDS

PAUSE_SECONDS = 0.3


class Writer(threading.Thread):
    """Creates clients, each with a name of its own, and never a second time: refused is refused."""

    def __init__(self, url: str, *, number: int, token: str, authority: Path) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.url, self.authority = url, authority
        self.headers = {"Authorization": f"Bearer {token}"}
        self.acknowledged: set[str] = set()
        self.refused: dict[str, str] = {}  # name → why
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            self._write(f"{self.name} at {time.monotonic():.6f}")

    def _write(self, name: str) -> None:
        url, authority = f"{self.url}/api/admin/clients/create", str(self.authority)
        try:
            answer = requests.post(
                url, json={"name": name}, headers=self.headers, timeout=TIMEOUT_SECONDS, verify=authority
            )
        except requests.RequestException as error:
            self.refused[name] = type(error).__name__
            return
        if answer.ok:
            self.acknowledged.add(name)
        else:
            self.refused[name] = str(answer.status_code)


def lost(writers: list[Writer], database: Database) -> tuple[str, list[str]]:
    """What was written, in words, and the names that were acknowledged and are not there exactly once."""
    names = [name for (name,) in database.rows("SELECT name FROM clients WHERE name LIKE 'writer-%%'")]
    acknowledged = {name for writer in writers for name in writer.acknowledged}
    refused = {name: why for writer in writers for name, why in writer.refused.items()}
    done_nevertheless = len(refused.keys() & set(names))
    detail = f"{len(acknowledged)} acknowledged, {len(refused)} refused ({done_nevertheless} of them were carried out)"
    return detail, sorted(name for name in acknowledged if names.count(name) != 1)
