"""`manage status`, and the note that every round of a job leaves."""

import json
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import call_command
from django.db import OperationalError

from agents.models import Command
from spotopt import status
from spotopt.common import clock, job_runs
from spotopt.common.commands import JobCommand
from spotopt.management.commands.run_jobs import JOBS, run_each
from spotopt.models import JobRun
from tests.factories import AgentFactory, CommandFactory, DeliveryFactory, InterruptionEpisodeFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def traveller():
    with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def all_jobs_ran():
    now = clock.now()
    ran = {"started_at": now, "seconds": 0.1, "succeeded": True, "last_success_at": now, "report": "nothing to do"}
    JobRun.objects.bulk_create(JobRun(name=name, **ran) for name in JOBS)


def shown(*options):
    """(text, exit code)"""
    out = StringIO()
    try:
        call_command("status", *options, stdout=out)
    except SystemExit as exit_:
        return out.getvalue(), exit_.code
    return out.getvalue(), 0


class Job(JobCommand):
    name = "job"
    report = "3 done"
    error = None

    def run(self, **options):
        if self.error:
            raise self.error
        return self.report


class TestJobRuns:
    def test_a_round_leaves_when_and_what(self):
        Job().run_and_log()
        run = JobRun.objects.get()
        assert (run.name, run.succeeded, run.report, run.last_success_at) == ("job", True, "3 done", clock.now())

    def test_failures_in_a_row_are_counted_until_one_succeeds(self, traveller):
        job = Job()
        job.run_and_log()
        job.error = ValueError("with data of a tenant")
        for _ in range(2):
            traveller.shift(60)
            job.run_and_log()
        run = JobRun.objects.get()
        assert (run.succeeded, run.failures, run.report) == (False, 2, "ValueError")
        assert run.last_success_at == clock.now() - timedelta(minutes=2)
        job.error = None
        job.run_and_log()
        assert JobRun.objects.get().failures == 0

    def test_a_rehearsal_is_no_round(self):
        job = Job()
        job.can_dry_run = True
        job.run_once(dry_run=True)
        assert not JobRun.objects.exists()

    def test_a_round_that_cannot_be_noted_is_no_failure(self, monkeypatch, caplog):
        def broken(*args, **kwargs):
            raise OperationalError

        monkeypatch.setattr(job_runs, "_note", broken)
        run_each([Job()])
        assert "the round of job could not be noted" in caplog.text


class TestStatus:
    def test_all_is_well(self, all_jobs_ran):
        AgentFactory()
        text, code = shown()
        assert code == 0
        assert "All is well." in text
        assert "agents    1 online" in text

    def test_a_job_that_never_ran_is_wrong(self, all_jobs_ran):
        JobRun.objects.filter(name="sweep_agents").delete()
        text, code = shown()
        assert (code, "WRONG: Job sweep_agents never ran" in text) == (1, True)

    def test_a_job_that_stopped_is_overdue(self, all_jobs_ran, traveller):
        traveller.shift(timedelta(minutes=5))
        told = json.loads(shown("--json")[0])
        assert told["jobs"]["sweep_agents"]["state"] == "overdue"
        assert told["jobs"]["prune_history"]["state"] == "ok"
        assert "Job sweep_agents is overdue" in told["problems"]

    def test_a_job_that_fails_is_wrong(self, all_jobs_ran):
        JobRun.objects.filter(name="run_decisions").update(failures=2)
        assert "Job run_decisions is failing" in shown()[0]

    def test_queues_are_counted(self, all_jobs_ran, traveller):
        CommandFactory(expires_at=clock.now() + timedelta(hours=1))
        DeliveryFactory()
        told = json.loads(shown("--json")[0])
        assert told["queues"]["commands"] == {"pending": 1, "oldest": "2026-01-05T10:00:00Z", "late": 0}
        assert told["queues"]["deliveries"]["pending"] == 1
        assert told["problems"] == []

    @pytest.mark.parametrize(
        ("wait", "problem"),
        [
            (lambda past: CommandFactory(expires_at=past), "1 commands should have been dealt with"),
            (lambda past: DeliveryFactory(next_attempt_at=past), "1 deliveries should have been dealt with"),
            (lambda past: InterruptionEpisodeFactory(deadline_at=past), "1 interruptions are open past their deadline"),
        ],
    )
    def test_what_waits_too_long_is_wrong(self, all_jobs_ran, wait, problem):
        wait(clock.now() - timedelta(minutes=11))
        text, code = shown()
        assert (code, problem in text) == (1, True)

    def test_ended_orders_do_not_wait(self, all_jobs_ran):
        CommandFactory(status=Command.Status.EXPIRED, expires_at=clock.now() - timedelta(hours=1))
        assert shown()[1] == 0

    def test_pending_migrations_are_wrong(self, monkeypatch):
        known = {"kind": "sqlite", "version": "3", "latency_ms": 0.1, "pending_migrations": ["agents.0009_later"]}
        monkeypatch.setattr(status, "_database", lambda: known)
        text, code = shown()
        assert (code, "1 migrations are pending" in text) == (1, True)

    def test_a_database_that_is_away_is_said_so(self, monkeypatch):
        def away():
            raise OperationalError

        monkeypatch.setattr(status, "_database", away)
        text, code = shown()
        assert (code, "WRONG: The database does not answer: OperationalError" in text) == (1, True)

    @pytest.mark.parametrize("number", [1, 20])
    def test_it_costs_the_same_for_many_agents(self, all_jobs_ran, number, django_assert_max_num_queries):
        AgentFactory.create_batch(number)
        with django_assert_max_num_queries(20):
            shown()
