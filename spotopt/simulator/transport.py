"""HTTP as the agents do it, and a count of everything that came back."""

import json
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import requests
from requests.adapters import HTTPAdapter

TIMEOUT_SECONDS = 30  # the agents' own (agent-api 1.2)
KEPT_ERRORS = 20


class BoundAdapter(HTTPAdapter):
    """Connects from one local address, so that the server sees each instance under its own."""

    def __init__(self, source_ip: str) -> None:
        self._source_ip = source_ip
        super().__init__(pool_connections=1, pool_maxsize=4)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, source_address=(self._source_ip, 0))


@dataclass(frozen=True)
class Reply:
    """`status` is 0 when nothing came back. `body` is the JSON document, or None."""

    status: int
    body: Any = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def get(self, name: str, default: Any = None) -> Any:
        return self.body.get(name, default) if isinstance(self.body, dict) else default


@dataclass
class Failure:
    kind: str
    request: str
    answer: str


@dataclass
class Counts:
    requests: Counter[str] = field(default_factory=Counter)  # by kind of call
    refused: Counter[str] = field(default_factory=Counter)  # expected refusals, by kind and code
    errors: Counter[str] = field(default_factory=Counter)
    unavailable: Counter[str] = field(default_factory=Counter)  # endpoints that this server does not have (yet)
    unreachable: int = 0  # while the server was down on purpose
    kept: list[Failure] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.requests.total()

    @property
    def p95_ms(self) -> float:
        enough = len(self.seconds) >= 2
        return round(statistics.quantiles(self.seconds, n=20)[-1] * 1000, 1) if enough else 0.0


class Transport:
    """All calls of all agents go through `call`. `journal` gets a JSON line per acknowledged write.

    `authority` is the certificate that vouches for the server's, where it is none that every machine trusts.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str,
        journal: Path | None = None,
        bind_sources: bool = False,
        authority: Path | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        self.counts = Counts()
        self.missing: set[str] = set()  # kinds of calls that the server has no route for
        self.is_down_on_purpose = False
        self.bind_sources = bind_sources
        self.authority = authority
        self.timeout_seconds = timeout_seconds
        self._journal: TextIO | None = journal.open("a", buffering=1) if journal else None
        self._lock = threading.Lock()

    def session(self, *, token: str | None = None, source_ip: str = "") -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        if self.authority:
            session.verify = str(self.authority)
        if self.bind_sources and source_ip:
            for scheme in ("http://", "https://"):
                session.mount(scheme, BoundAdapter(source_ip))
        session.headers["Authorization"] = f"Bearer {token or self.token}"
        session.headers["Content-Type"] = "application/json"
        return session

    def call(
        self,
        session: requests.Session,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        kind: str,
        at: float = 0.0,
        expected: tuple[int, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """`expected` are the non-2xx statuses that are right answers here. Never raises for what the server does."""
        data = None if body is None else json.dumps(body)
        started = time.perf_counter()
        try:
            response = self.send(session, method, path, data, headers)
        except requests.RequestException as error:
            self._count_unreachable(kind, f"{method} {path} {_short(data)}", error)
            return Reply(0)
        reply = Reply(response.status_code, _parsed(response))
        problem = self.problem_of(reply, expected)
        if problem and reply.status == 404 and kind in self.missing:
            problem = ""
        with self._lock:
            self.counts.requests[kind] += 1
            self.counts.seconds.append(time.perf_counter() - started)
            if problem:
                self._keep(
                    f"{kind}: {problem}", f"{method} {path} {_short(data)}", f"{reply.status} {response.text[:400]}"
                )
            elif reply.status == 404 and kind in self.missing:
                self.counts.unavailable[kind] += 1
            elif not reply.ok:
                self.counts.refused[f"{kind}: {reply.status} {reply.get('code', '')}"] += 1
            elif method != "GET" and self._journal:
                self._journal.write(_journal_line(at, method, path, reply.status, data))
        return reply

    def send(
        self, session: requests.Session, method: str, path: str, data: str | None, headers: dict[str, str] | None
    ) -> requests.Response:
        """Raises RequestException."""
        url, patience = self.base_url + path, self.timeout_seconds
        return session.request(method, url, data=data, timeout=patience, headers=headers, allow_redirects=False)

    def problem_of(self, reply: Reply, expected: tuple[int, ...]) -> str:
        """What agents could not live with; empty when all is well."""
        return _problem(reply, expected)

    def may_be_unreachable(self) -> bool:
        return self.is_down_on_purpose

    def complain(self, kind: str, detail: str) -> None:
        """An answer that is well-formed but breaks the contract."""
        with self._lock:
            self._keep(kind, "", detail)

    def close(self) -> None:
        if self._journal:
            self._journal.close()

    def _count_unreachable(self, kind: str, request: str, error: requests.RequestException) -> None:
        with self._lock:
            self.counts.requests[kind] += 1
            if self.may_be_unreachable():
                self.counts.unreachable += 1
            else:
                self._keep(f"{kind}: no answer", request, f"{type(error).__name__}: {error}")

    def _keep(self, kind: str, request: str, answer: str) -> None:
        self.counts.errors[kind] += 1
        if len(self.counts.kept) < KEPT_ERRORS:
            self.counts.kept.append(Failure(kind, request, answer))


def _parsed(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _problem(reply: Reply, expected: tuple[int, ...]) -> str:
    if reply.status >= 500 or not (reply.ok or reply.status in expected):
        return f"status {reply.status}"
    if reply.body is None:
        return "no JSON"
    if reply.ok and reply.body == {}:
        return "empty object"  # falsy for the agents: a failed call (agent-api 1.2)
    return ""


def _short(data: str | None) -> str:
    return (data or "")[:600]


def _journal_line(at: float, method: str, path: str, status: int, data: str | None) -> str:
    body = json.loads(data) if data and len(data) < 4000 else None
    return json.dumps({"at": at, "method": method, "path": path, "status": status, "body": body}) + "\n"
