"""Event ids that become visible out of order, with transactions that really overlap."""

import threading

import pytest
from django.db import connection, transaction

from notifications.models import SystemEvent
from notifications.stream import feed
from notifications.stream.feed import Feed

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]


class Writer(threading.Thread):
    """Inserts an event at once and keeps its transaction open until `finish`."""

    def __init__(self, message):
        super().__init__()
        self.message = message
        self.has_inserted, self.may_end = threading.Event(), threading.Event()
        self.commits = True

    def run(self):
        try:
            with transaction.atomic():
                SystemEvent.objects.create(event_type="agent_deleted", message=self.message)
                self.has_inserted.set()
                self.may_end.wait(10)
                if not self.commits:
                    transaction.set_rollback(True)
        finally:
            connection.close()

    def begin(self):
        self.start()
        assert self.has_inserted.wait(10)
        return self

    def finish(self, *, commit=True):
        self.commits = commit
        self.may_end.set()
        self.join(10)


def insert(message):
    return SystemEvent.objects.create(event_type="agent_deleted", message=message).pk


@pytest.fixture
def later(monkeypatch):
    """`later(seconds)` lets time pass for the feed."""
    now = [1000.0]
    monkeypatch.setattr(feed.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


@pytest.fixture
def events(later):
    insert("before")
    source = Feed()
    source.release(source.look())
    return source


def handed_out(events):
    pks = [fact.pk for fact in events.release(events.look())]
    return list(SystemEvent.objects.filter(pk__in=pks).order_by("pk").values_list("message", flat=True))


def test_an_event_waits_for_an_older_one_that_is_not_yet_committed(events, later):
    slow = Writer("slow").begin()
    insert("fast")
    assert handed_out(events) == []
    later(30)
    assert handed_out(events) == [], "the older transaction is still open"
    slow.finish()
    assert handed_out(events) == ["slow", "fast"]


def test_it_waits_no_longer_when_the_older_one_was_rolled_back(events, later):
    slow = Writer("slow").begin()
    insert("fast")
    assert handed_out(events) == []
    slow.finish(commit=False)
    later(feed.TAIL)
    assert handed_out(events) == ["fast"]


@pytest.fixture
def stand_still(later, monkeypatch):
    """`stand_still(seconds)` lets the next look take so long."""
    rows = feed._facts
    waits = []

    def slow(queryset):
        if waits:
            later(waits.pop())
        return rows(queryset)

    monkeypatch.setattr(feed, "_facts", slow)
    return waits.append


def test_time_in_which_the_database_stood_still_is_no_waiting(events, stand_still, monkeypatch):
    """A Galera node cannot see other nodes' transactions, and while the cluster agrees on a death none of them ends."""
    slow = Writer("slow").begin()
    monkeypatch.setattr(feed, "_is_in_flight", lambda first, last: False)
    insert("fast")
    assert handed_out(events) == []
    stand_still(2 * feed.TAIL)
    assert handed_out(events) == []
    slow.finish()
    assert handed_out(events) == ["slow", "fast"]


@pytest.fixture
def several_writers():
    """As on a Galera node among three that are written to."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION auto_increment_increment = 3")
        yield
        cursor.execute("SET SESSION auto_increment_increment = DEFAULT")


def test_where_several_nodes_are_written_to_an_event_waits_longer_for_what_cannot_be_seen(
    several_writers, events, later, monkeypatch
):
    monkeypatch.setattr(feed, "_is_in_flight", lambda first, last: False)
    insert("one of ours")  # with ids of other nodes before it
    assert handed_out(events) == []
    later(feed.TAIL)
    assert handed_out(events) == []
    later(feed.FOREIGN_TAIL - feed.TAIL)
    assert handed_out(events) == ["one of ours"]


def test_after_the_database_stood_still_events_do_not_come_all_at_once(several_writers, events, later, stand_still):
    insert("one")
    handed_out(events)
    later(3)
    insert("another")
    handed_out(events)
    stand_still(4)
    handed_out(events)
    later(feed.FOREIGN_TAIL - 3)
    assert handed_out(events) == ["one"]
    later(3)
    assert handed_out(events) == ["another"]


def test_a_transaction_that_never_ends_does_not_silence_everybody(events, later):
    slow = Writer("slow").begin()
    insert("fast")
    handed_out(events)
    later(feed.LONGEST_WAIT + 1)
    assert handed_out(events) == ["fast"]
    slow.finish()


def test_many_writers_lose_and_repeat_nothing(events):
    """Without a frozen clock: the feed reads while eight threads commit and roll back in any order."""
    stop = threading.Event()
    committed, lock = [], threading.Lock()

    def write(number):
        try:
            for turn in range(25):
                keep = (turn + number) % 4 != 0
                with transaction.atomic():
                    pks = [insert(f"{number}-{turn}-{n}") for n in range(2)]
                    if not keep:
                        transaction.set_rollback(True)
                if keep:
                    with lock:
                        committed.extend(pks)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    got = []

    def read():
        try:
            while not stop.is_set():
                got.extend(fact.pk for fact in events.release(events.look()))
        finally:
            connection.close()

    reader = threading.Thread(target=read)
    for thread in [reader, *threads]:
        thread.start()
    for thread in threads:
        thread.join(60)
    stop.set()
    reader.join(10)
    got.extend(fact.pk for fact in events.release(events.look()))
    assert got == sorted(set(got))
    missing = [pk for pk in committed if pk not in got]
    assert all(pk > events.cursor for pk in missing), "skipped for good"
