"""What this process has answered to agents at rest, for as long as it stays true. docs/hot-path.md explains it whole.

An entry is dropped when its agent changes. Every change sets `agents.changed_at` in its own transaction, and the keeper
thread of each web process reads what changed every POLL_SECONDS. Without a reading for TRUSTED_SECONDS nothing here is
used, so an answer is at most that much older than the database.
"""

import atexit
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from agents.models import Agent
from spotopt.common import clock
from spotopt.common.db import retried

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
TRUSTED_SECONDS = 1.0
FLUSH_EVERY = 4  # polls
OVERLAP = timedelta(seconds=60)  # longer than a transaction can be open: it is seen when committed, not when stamped
LIFETIME_SECONDS = 1800.0  # of an entry, though nothing relies on it: what was changed past the stamp is noticed then
MOST_AGENTS = 20_000
MOST_ANSWERS = 16  # of one agent: bodies that differ each time are not worth keeping


@dataclass(frozen=True, slots=True)
class Answer:
    agent_pk: int
    agent_id: str
    client_id: str
    instance_id: str  # whose sign of life the call is; empty: none
    route: str
    headers: tuple[tuple[str, str], ...]
    body: tuple[bytes, ...]  # the time of the server goes in between
    until: float  # monotonic


@dataclass(slots=True)
class _Rest:
    """An agent since its last change."""

    changed_at: datetime
    keys: set[bytes] = field(default_factory=set)


class Memory:
    """Of one process; its threads share it."""

    def __init__(self) -> None:
        self._answers: dict[bytes, Answer] = {}
        self._agents: dict[int, _Rest] = {}
        self._heard: dict[tuple[int, str], datetime] = {}
        self._lock = threading.Lock()
        self._read_at: datetime | None = None  # by the database's clock
        self._trusted_until = 0.0
        self._keeper: threading.Thread | None = None

    def recall(self, key: bytes) -> Answer | None:
        now = time.monotonic()
        answer = self._answers.get(key)
        return answer if answer and now < self._trusted_until and now < answer.until else None

    def remember(self, key: bytes, answer: Answer, *, changed_at: datetime) -> None:
        """`changed_at` as it was read before anything else that the answer says."""
        with self._lock:
            rest = self._agents.get(answer.agent_pk)
            if rest is None or rest.changed_at != changed_at or len(rest.keys) >= MOST_ANSWERS:
                self._drop(answer.agent_pk)
                rest = self._agents[answer.agent_pk] = _Rest(changed_at)
            rest.keys.add(key)
            self._answers[key] = answer
            if len(self._agents) > MOST_AGENTS:
                self._drop(next(iter(self._agents)))
        self._keep()

    def _drop(self, agent_pk: int) -> None:
        if rest := self._agents.pop(agent_pk, None):
            for key in rest.keys:
                self._answers.pop(key, None)

    def hear(self, answer: Answer) -> None:
        """A sign of life, to be written within a second (`flush`)."""
        with self._lock:
            self._heard[answer.agent_pk, answer.instance_id] = clock.now()

    # --- The keeper's work ------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Drop the agents that changed. Safe against clocks that are set: it compares the database's with itself."""
        began = time.monotonic()
        now = Agent.objects.annotate(now=Now()).values_list("now", flat=True).first()
        if now is None:
            return
        since = min(now, self._read_at or now) - OVERLAP
        changed = Agent.objects.filter(changed_at__gt=since).values_list("pk", "changed_at")
        with self._lock:
            for agent_pk, changed_at in changed:
                rest = self._agents.get(agent_pk)
                if rest and rest.changed_at != changed_at:
                    self._drop(agent_pk)
        self._read_at = now
        self._trusted_until = began + TRUSTED_SECONDS

    def flush(self) -> None:
        """Write the signs of life that came since the last time; kept for the next time when that fails."""
        with self._lock:
            heard, self._heard = self._heard, {}
        try:
            if heard:
                _write(heard)
        except DatabaseError:
            with self._lock:
                self._heard = heard | self._heard
            raise

    def _keep(self) -> None:
        if self._keeper is None and not settings.TESTING:
            with self._lock:
                if self._keeper is None:
                    self._keeper = threading.Thread(target=self._run, name="agent-memory", daemon=True)
                    self._keeper.start()
                    atexit.register(self._flush_at_exit)

    def _run(self) -> None:
        turn = 0
        while True:
            try:
                self.catch_up()
                if (turn := (turn + 1) % FLUSH_EVERY) == 0:
                    self.flush()
            except DatabaseError as error:
                log.warning("the memory of agents cannot read the database: %s", error)
                connection.close()
            except Exception:
                log.exception("the memory of agents failed")
            time.sleep(POLL_SECONDS)

    def _flush_at_exit(self) -> None:
        try:
            self.flush()
        except DatabaseError as error:
            log.warning("the last signs of life were not written: %s", error)


@retried
def _write(heard: Mapping[tuple[int, str], datetime]) -> None:
    Agent.objects.hear(heard)


MEMORY = Memory()
