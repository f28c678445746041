"""Somebody who follows an event stream through nginx, as a browser does: comes back with the last id it saw."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import requests

OWN = ("CONNECTED", "connected", "HEARTBEAT", "heartbeat")  # frames that are no facts
READ_SECONDS = 40  # a sign of life comes every 15
FIRST_PAUSE_SECONDS = 3.0  # a browser's own, until the stream says another one


class Follower(threading.Thread):
    """`seen` holds the ids of facts in the order they came."""

    def __init__(self, url: str, *, token: str, authority: Path) -> None:
        super().__init__(name="follower", daemon=True)
        self.url, self.authority = url, authority
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        self.seen: list[int] = []
        self.connections = 0
        self.refusals: list[str] = []
        self.first_id: int | None = None  # facts after this one are its
        self.last_id = ""
        self.pause_seconds = FIRST_PAUSE_SECONDS
        self._ended = False

    def end(self) -> None:
        self._ended = True

    def run(self) -> None:
        while not self._ended:
            try:
                answer = self._connect()
            except requests.RequestException as error:
                self.refusals.append(f"{type(error).__name__}: {error}")
            else:
                with answer, suppress(requests.RequestException):  # a stream that is cut off is taken up again
                    self._read(answer)
            time.sleep(self.pause_seconds)

    def _connect(self) -> requests.Response:
        headers = self.headers | ({"Last-Event-ID": self.last_id} if self.last_id else {})
        patience = (10, READ_SECONDS)
        return requests.get(self.url, headers=headers, stream=True, timeout=patience, verify=str(self.authority))

    def _read(self, answer: requests.Response) -> None:
        if answer.status_code != 200:
            self.refusals.append(f"{answer.status_code} {answer.text[:200]}")
            return
        self.connections += 1
        for fields in frames(answer.iter_lines(chunk_size=1)):
            if self._ended:
                return
            if "retry" in fields:
                self.pause_seconds = int(fields["retry"]) / 1000
            if "id" in fields:
                self._take(fields.get("event", ""), fields["id"])

    def _take(self, name: str, identifier: str) -> None:
        if self.first_id is None:
            self.first_id = int(identifier)
        self.last_id = identifier
        if name not in OWN:
            self.seen.append(int(identifier))


def frames(lines: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """The fields of each whole frame."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.decode().partition(": ")
            fields[name] = value
        else:
            yield fields
            fields = {}
