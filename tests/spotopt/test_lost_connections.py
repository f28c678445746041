"""A connection that dies at the worst moment costs one call, never the thread that had it."""

import MySQLdb
import pytest
from django.db import OperationalError, connection, transaction

from clients.models import Client
from tests.factories import ClientFactory

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cut():
    """Ends our connection from the other side, as a server that is stopped does."""
    other = connection.copy()

    def end():
        with other.cursor() as cursor:
            cursor.execute(f"KILL {connection.connection.thread_id()}")

    yield end
    other.close()


def assert_it_goes_on():
    """What is written now is committed: another connection sees it, and the next call is as good."""
    other = connection.copy()
    try:
        for name in ("One", "Another"):
            with transaction.atomic():
                ClientFactory(name=name)
            with other.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM clients WHERE name = %s", [name])
                assert cursor.fetchone() == (1,)
    finally:
        other.close()


def test_lost_right_after_a_commit(cut, monkeypatch):
    commit = connection._commit
    monkeypatch.setattr(connection, "_commit", lambda: (commit(), cut()))
    with pytest.raises(OperationalError), transaction.atomic():
        ClientFactory(name="Committed")
    monkeypatch.undo()
    assert_it_goes_on()
    assert Client.objects.filter(name="Committed").exists()


def test_lost_right_before_a_transaction(cut):
    connection.ensure_connection()
    cut()
    with pytest.raises(OperationalError), transaction.atomic():
        ClientFactory()
    assert_it_goes_on()


def test_lost_within_a_transaction_and_again_while_connecting_anew(cut, monkeypatch):
    set_autocommit = connection._set_autocommit

    def lost_at_once(autocommit):
        cut()
        set_autocommit(autocommit)

    @transaction.atomic
    def lose():
        ClientFactory()
        cut()
        monkeypatch.setattr(connection, "_set_autocommit", lost_at_once)
        ClientFactory()

    with pytest.raises(OperationalError):
        lose()
    with pytest.raises(OperationalError), transaction.atomic():
        ClientFactory()
    monkeypatch.undo()
    assert_it_goes_on()


def test_a_cursor_that_cannot_be_closed_hides_no_error():
    """A raw error of the driver would be a 500, not a 503."""

    class Broken:
        def close(self):
            raise MySQLdb.OperationalError(2006, "")

    connection.ensure_connection()
    cursor = connection.create_cursor()
    cursor.cursor = Broken()
    cursor.close()
