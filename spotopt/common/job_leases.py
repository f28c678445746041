"""Which process runs a job, where several could: each job is leased to one of them (`run_jobs` on several machines).

A lease is a row that is taken by a conditional update and renewed every few seconds. A process that ends gives its
leases back; one that dies, or whose machine does, loses them LEASE later, and any other takes the jobs up. Leases save
double work; they are not what makes jobs safe: each step is compare-and-set, so a late loser does no harm.

They are about processes, so their time is the machine's own, also where the fleet's is simulated.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Self

from django.apps import apps
from django.db import Error, close_old_connections, connection
from django.db.models import Q, QuerySet

from spotopt.common import clock
from spotopt.common.db import retried

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)  # a failover that was begun must not wait longer for another machine
RENEW_SECONDS = 4.0
LONGEST_ROUND = timedelta(minutes=30)  # a round that takes longer hangs: its lease is not renewed


class Leases:
    """Those of one process. `renew` and `give_back` are for one thread at a time, the rest is for any."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = sorted(names)
        self.holder = f"{socket.gethostname()[:200]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._until: dict[str, datetime] = {}
        self._rounds: dict[str, datetime] = {}  # when the round that is under way was begun

    def holds(self, name: str) -> bool:
        until = self._until.get(name)
        return until is not None and clock.machine_now() < until

    @contextmanager
    def round_of(self, name: str) -> Iterator[None]:
        self._rounds[name] = clock.machine_now()
        try:
            yield
        finally:
            self._rounds.pop(name, None)

    @contextmanager
    def kept(self) -> Iterator[Self]:
        """Renewed in the background until the end of the block, when they are free for others."""
        begun, ended = threading.Event(), threading.Event()
        thread = threading.Thread(target=self._keep, args=[begun, ended], name="leases", daemon=True)
        thread.start()
        begun.wait()
        try:
            yield self
        finally:
            ended.set()
            thread.join()

    def renew(self) -> None:
        """Extend what is held and take what is free. While the database is away, leases run out."""
        now = clock.machine_now()
        rounds = dict(self._rounds)
        wanted = [name for name in self.names if now - rounds.get(name, now) < LONGEST_ROUND]
        try:
            held = _take(wanted, self.holder, now)
        except Error as error:
            log.warning("the leases of jobs could not be renewed: %s", type(error).__name__)
            return
        for name in sorted(held - self._until.keys()):
            log.info("%s is run by this process", name, extra={"job": name})
        for name in sorted(self._until.keys() - held):
            log.warning("%s is run by another process", name, extra={"job": name})
        self._until = dict.fromkeys(held, now + LEASE)

    def give_back(self) -> None:
        self._until = {}
        try:
            _give_back(self.holder)
        except Error as error:
            log.warning("the leases of jobs could not be given back: %s", type(error).__name__)

    def _keep(self, begun: threading.Event, ended: threading.Event) -> None:
        try:
            while True:
                self.renew()
                begun.set()
                stops = ended.wait(RENEW_SECONDS)
                close_old_connections()  # one that broke must not fail every renewal from now on
                if stops:
                    break
            self.give_back()
        finally:
            begun.set()
            connection.close()  # this thread's own


def _take(names: Sequence[str], holder: str, now: datetime) -> set[str]:
    """The names that are `holder`'s until `now` + LEASE. A process that waits costs one statement."""
    rows = _leases().filter(name__in=names)
    known = {name: (whose, until) for name, whose, until in rows.values_list("name", "holder", "until")}
    if missing := sorted(set(names) - known.keys()):
        model = rows.model
        model._default_manager.bulk_create([model(name=name, until=now) for name in missing], ignore_conflicts=True)
    longest = now + 2 * LEASE  # beyond it: left by a clock that was wrong
    own = [name for name, (whose, _) in known.items() if whose == holder]
    free = [name for name, (whose, until) in known.items() if whose != holder and not now < until <= longest]
    if own:
        _set(rows.filter(holder=holder), until=now + LEASE)
    for name in sorted(missing + free):
        is_still_free = Q(until__lte=now) | Q(until__gt=longest)
        _set(rows.filter(is_still_free, name=name), holder=holder, until=now + LEASE)
    return set(rows.filter(holder=holder).values_list("name", flat=True)) if own or free or missing else set()


@retried
def _set(leases: QuerySet[Any], **values: Any) -> None:
    leases.update(**values)


@retried
def _give_back(holder: str) -> None:
    _leases().filter(holder=holder).update(until=clock.machine_now())


def _leases() -> QuerySet[Any]:
    leases: QuerySet[Any] = apps.get_model("spotopt", "JobLease")._default_manager.all()
    return leases
