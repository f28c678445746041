"""Who runs a job where several processes could: one of them, and another soon after it died."""

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError, connection

from spotopt.common import clock, job_leases
from spotopt.common.commands import JobCommand
from spotopt.common.job_leases import LEASE, LONGEST_ROUND, Leases
from spotopt.models import JobLease

JOBS = ["sweep", "prune"]


@pytest.fixture
def traveller():
    with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
        yield traveller


def renewed(*processes):
    for process in processes:
        process.renew()
    return [[name for name in JOBS if process.holds(name)] for process in processes]


@pytest.mark.django_db
class TestLeases:
    def test_the_first_process_gets_all_jobs_and_the_second_none(self, traveller):
        assert renewed(Leases(JOBS), Leases(JOBS)) == [JOBS, []]

    def test_renewed_leases_stay_where_they_are(self, traveller):
        first, second = Leases(JOBS), Leases(JOBS)
        for _ in range(10):
            assert renewed(first, second) == [JOBS, []]
            traveller.shift(LEASE - timedelta(seconds=1))

    def test_a_dead_process_loses_its_leases(self, traveller):
        dead, other = Leases(JOBS), Leases(JOBS)
        renewed(dead, other)
        traveller.shift(LEASE)
        assert not dead.holds("sweep")
        assert renewed(other) == [JOBS]

    def test_one_that_was_only_stunned_learns_that_it_lost_them(self, traveller, caplog):
        stunned, other = Leases(JOBS), Leases(JOBS)
        renewed(stunned, other)
        traveller.shift(LEASE)
        assert renewed(other, stunned) == [JOBS, []]
        assert "sweep is run by another process" in caplog.text

    def test_a_process_that_ends_gives_them_back_at_once(self, traveller):
        first, second = Leases(JOBS), Leases(JOBS)
        renewed(first)
        first.give_back()
        assert renewed(second) == [JOBS]
        assert not first.holds("sweep")

    def test_each_job_is_leased_on_its_own(self, traveller):
        assert renewed(Leases(["sweep"]), Leases(JOBS)) == [["sweep"], ["prune"]]

    def test_a_round_that_hangs_loses_its_lease_and_no_other(self, traveller):
        hanging, other = Leases(JOBS), Leases(JOBS)
        renewed(hanging)
        with hanging.round_of("sweep"):
            traveller.shift(LONGEST_ROUND)
            renewed(hanging)
            assert renewed(other) == [["sweep"]]

    def test_a_lease_far_in_the_future_is_nobodys(self, traveller):
        JobLease.objects.create(name="sweep", holder="clock was wrong", until=clock.machine_now() + timedelta(days=1))
        assert renewed(Leases(["sweep"])) == [["sweep"]]

    def test_while_the_database_is_away_leases_run_out(self, traveller, monkeypatch, caplog):
        def away(*args):
            raise OperationalError

        process = Leases(JOBS)
        renewed(process)
        monkeypatch.setattr(job_leases, "_take", away)
        assert renewed(process) == [JOBS]
        traveller.shift(LEASE)
        assert renewed(process) == [[]]
        assert "could not be renewed" in caplog.text

    def test_keeping_leases_costs_three_statements_and_waiting_for_them_one(self, traveller, django_assert_num_queries):
        first, second = Leases(JOBS), Leases(JOBS)
        renewed(first, second)
        with django_assert_num_queries(3):
            first.renew()
        with django_assert_num_queries(1):
            second.renew()


class Job(JobCommand):
    name = "sweep"

    def __init__(self, at_a_round):
        super().__init__()
        self.rounds, self._at_a_round = 0, at_a_round

    def run_once(self, *, dry_run=False):
        self.rounds += 1
        self._at_a_round()
        return ""


@pytest.mark.django_db
def test_a_job_waits_while_another_process_holds_its_lease(traveller, monkeypatch):
    monkeypatch.setattr("spotopt.common.commands.close_old_connections", lambda: None)
    holder, waiting = Leases(JOBS), Leases(JOBS)
    renewed(holder, waiting)

    class Stop:
        requested = False
        pauses = 0

        def sleep(self, seconds):
            """The other process dies after the third pause."""
            self.pauses += 1
            if self.pauses == 3:
                traveller.shift(LEASE)
            waiting.renew()

    stop = Stop()
    job = Job(at_a_round=lambda: setattr(stop, "requested", True))
    job.repeat(stop, waiting)
    assert (job.rounds, stop.pauses) == (1, 4)  # three without the lease, one after the round


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_of_many_processes_that_start_at_once_each_job_gets_one():
    names = [f"job_{n}" for n in range(9)]
    processes = [Leases(names) for _ in range(8)]
    barrier = threading.Barrier(len(processes))

    def start(process):
        barrier.wait()
        try:
            process.renew()
            process.renew()
        finally:
            connection.close()

    threads = [threading.Thread(target=start, args=[process]) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    holders = {name: [p for p in processes if p.holds(name)] for name in names}
    assert {name: len(found) for name, found in holders.items()} == dict.fromkeys(names, 1)


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_leases_are_kept_in_the_background_and_free_afterwards(monkeypatch):
    monkeypatch.setattr(job_leases, "RENEW_SECONDS", 0.01)
    renewals = []
    renew = Leases.renew
    enough = threading.Event()

    def counted(leases):
        renew(leases)
        renewals.append(leases)
        if len(renewals) == 3:
            enough.set()

    monkeypatch.setattr(Leases, "renew", counted)
    with Leases(JOBS).kept() as leases:
        assert leases.holds("sweep")
        assert enough.wait(10)
    other = Leases(JOBS)
    renew(other)
    assert other.holds("sweep")


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_after_the_database_was_restarted_leases_are_renewed_again(monkeypatch, caplog):
    monkeypatch.setattr(job_leases, "RENEW_SECONDS", 0.01)
    renew = Leases.renew
    renewals = []
    enough = threading.Event()

    def cut_off_after_the_first(leases):
        renew(leases)
        renewals.append(leases)
        if len(renewals) == 1:
            with connection.cursor() as cursor, suppress(OperationalError):
                cursor.execute("KILL CONNECTION_ID()")
        elif len(renewals) == 5:
            enough.set()

    monkeypatch.setattr(Leases, "renew", cut_off_after_the_first)
    with Leases(JOBS).kept():
        assert enough.wait(10)
    assert caplog.text.count("could not be renewed") <= 1
