"""Which failures of the database a service survives by starting over, and which it must not."""

from contextlib import suppress

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from spotopt.common import db
from spotopt.common.db import retried_transaction
from spotopt.models import JobRun

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED_BY_CERTIFICATION = OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
LOST = OperationalError(2013, "Lost connection to server during query")


@pytest.fixture
def note():
    """`note(error, …)` writes a row; its attempts fail with the given errors, one after the other."""
    attempts = []

    @retried_transaction
    def note(*errors):
        attempts.append(None)
        JobRun.objects.create(
            name=f"attempt {len(attempts)}", started_at="2026-01-05 10:00Z", seconds=1, succeeded=True
        )
        if len(attempts) <= len(errors):
            raise errors[len(attempts) - 1]

    return note


@pytest.fixture
def failing_commit(monkeypatch):
    """`failing_commit(error)` lets the next commit fail."""
    commit = connection.commit

    def replace(*errors):
        left = list(errors)

        def fail_first():
            if left:
                raise left.pop(0)
            commit()

        monkeypatch.setattr(connection, "commit", fail_first)

    return replace


def noted():
    return list(JobRun.objects.values_list("name", flat=True))


@pytest.mark.parametrize("code", [1205, 1213])
def test_a_statement_that_lost_a_race_starts_the_transaction_over(note, code):
    note(OperationalError(code, "…"))
    assert noted() == ["attempt 2"]


def test_a_row_that_somebody_else_inserted_meanwhile_starts_it_over(note):
    note(IntegrityError(1062, "Duplicate entry"))
    assert noted() == ["attempt 2"]


def test_a_commit_that_the_cluster_refuses_starts_it_over(note, failing_commit):
    failing_commit(REFUSED_BY_CERTIFICATION)
    note()
    assert noted() == ["attempt 2"]


@pytest.mark.parametrize("code", [1047, 2006, 2013])
def test_a_connection_that_breaks_before_the_commit_starts_it_over(note, code):
    note(OperationalError(code, "…"))
    assert noted() == ["attempt 2"]


def test_a_connection_that_breaks_at_the_commit_does_not_as_it_may_have_been_carried_out(note, failing_commit):
    failing_commit(LOST)
    with pytest.raises(OperationalError, match="2013"):
        note()
    assert noted() == []


def test_a_database_that_stays_away_is_not_waited_for(note):
    with pytest.raises(OperationalError, match="2013"):
        note(*[LOST] * db.ATTEMPTS)


def test_a_connection_that_breaks_after_a_long_time_is_not_worth_another(note, monkeypatch):
    monkeypatch.setattr(db, "LOST_WITHIN_SECONDS", 0)
    with pytest.raises(OperationalError, match="2013"):
        note(LOST)


def test_inside_a_transaction_only_the_outermost_starts_over(note):
    with pytest.raises(OperationalError, match="1213"), transaction.atomic():
        note(REFUSED_BY_CERTIFICATION)
    assert noted() == []


@pytest.mark.mysql
def test_a_connection_that_the_server_ends_is_replaced():
    ended = []

    @retried_transaction
    def note():
        JobRun.objects.create(name="once", started_at="2026-01-05 10:00Z", seconds=1, succeeded=True)
        if not ended:
            ended.append(True)
            with connection.cursor() as cursor, suppress(OperationalError):
                cursor.execute("KILL CONNECTION_ID()")
            JobRun.objects.count()

    note()
    assert noted() == ["once"]
