"""`run_jobs`: one process for all periodic jobs; and `--once`, `--loop` of a single one."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command

from spotopt.common import clock, job_runs
from spotopt.common.commands import JobCommand, StopSignal
from spotopt.common.job_leases import Leases
from spotopt.management.commands import run_jobs


@pytest.fixture(autouse=True)
def looks_at_connections(monkeypatch):
    """How often a loop looked whether its connection is still good; a test's own one must not be closed."""
    looks = []
    monkeypatch.setattr("spotopt.common.commands.close_old_connections", lambda: looks.append(1))
    return looks


@pytest.fixture(autouse=True)
def noted(request, monkeypatch):
    """(job, succeeded) of every round; these tests need no database for it."""
    rounds = []
    if not request.node.get_closest_marker("django_db"):
        monkeypatch.setattr(job_runs, "_note", lambda name, *, succeeded, **facts: rounds.append((name, succeeded)))
    return rounds


class Job(JobCommand):
    def __init__(self, name, *, every, fails=False):
        super().__init__()
        self.label, self.interval_seconds, self.fails = name, every, fails
        self.rounds = []

    @property
    def name(self):
        return self.label

    def run(self, **options):
        self.rounds.append(clock.now())
        if self.fails:
            raise RuntimeError("out of order")
        return "done"


class AllMine:
    """Every lease, without a database."""

    def holds(self, name):
        return True

    def round_of(self, name):
        return nullcontext()


class StopWhen:
    """A stop signal that comes when `is_enough()`; `sleep(seconds)` moves the clock instead of waiting."""

    def __init__(self, is_enough, sleep):
        self.is_enough, self.sleep = is_enough, sleep

    @property
    def requested(self):
        return self.is_enough()


def stop_after(seconds, traveller):
    end = clock.now() + timedelta(seconds=seconds)
    return StopWhen(lambda: clock.now() >= end, lambda seconds: traveller.shift(max(seconds, 0.05)))


@pytest.fixture
def traveller():
    with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def jobs(monkeypatch):
    """`jobs(job, …)` makes these the only ones there are."""

    def replace(*these):
        by_name = {job.name: job for job in these}
        monkeypatch.setattr(run_jobs, "JOBS", list(by_name))
        monkeypatch.setattr(run_jobs, "load_job", by_name.__getitem__)

    return replace


def test_a_job_runs_at_once_and_then_at_its_interval(traveller):
    job = Job("job", every=15)
    job.repeat(stop_after(120, traveller), AllMine())
    assert [(at - job.rounds[0]).total_seconds() for at in job.rounds] == list(range(0, 120, 15))


def test_the_interval_can_be_chosen(traveller):
    job = Job("job", every=15)
    job.repeat(stop_after(120, traveller), AllMine(), interval_seconds=60)
    assert len(job.rounds) == 2


def test_a_failing_job_is_logged_and_goes_on(traveller, caplog, looks_at_connections, noted):
    job = Job("broken", every=10, fails=True)
    job.repeat(stop_after(30, traveller), AllMine())
    assert len(job.rounds) == 3
    assert caplog.text.count("broken failed") == 3
    assert noted == [("broken", False)] * 3
    assert "out of order" in caplog.text
    assert len(looks_at_connections) == 3


def test_a_round_that_says_nothing_new_is_not_logged_again(caplog):
    job, reports = Job("job", every=1), iter(["0 gone", "0 gone", "1 gone", "0 gone"])
    job.run = lambda: next(reports)
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            job.run_and_log()
    assert caplog.messages == ["job: 0 gone", "job: 1 gone", "job: 0 gone"]


@pytest.fixture
def stop():
    """A real stop signal; the handlers of the test run are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopSignal()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_pauses_follow_a_clock_that_runs_faster(stop, monkeypatch):
    began = time.monotonic()
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(time.monotonic() * 36_000, UTC))
    stop.sleep(3600)
    assert time.monotonic() - began < 10


def test_a_clock_that_was_set_back_ends_the_pause(stop, traveller, monkeypatch):
    set_back = SimpleNamespace(sleep=lambda seconds: traveller.shift(timedelta(hours=-1)))
    monkeypatch.setattr("spotopt.common.commands.time", set_back)
    stop.sleep(60)  # would wait for an hour and a minute


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_pause_and_the_loop(stop, number):
    signal.raise_signal(number)
    stop.sleep(3600)
    job = Job("job", every=3600)
    job.repeat(stop, AllMine())
    assert job.rounds == []


SIGNAL_WITHIN_A_SIGNAL = """
import os, signal, threading
import django; django.setup()
from spotopt.common.commands import StopSignal
stop = StopSignal()
threading.Condition.notify_all = lambda condition: os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
assert stop.requested
"""


def test_a_signal_that_comes_while_another_is_heard_does_not_hang_the_loop():
    """`systemctl stop` twice, or SIGTERM and Ctrl-C."""
    environment = os.environ | {"DEBUG": "1", "DJANGO_SETTINGS_MODULE": "spotopt.settings"}
    command = [sys.executable, "-c", SIGNAL_WITHIN_A_SIGNAL]
    subprocess.run(command, env=environment, cwd=settings.BASE_DIR, timeout=30, check=True)


def test_a_slow_job_keeps_no_other_waiting(stop, monkeypatch):
    monkeypatch.setattr("spotopt.common.job_leases._take", lambda names, holder, now: set(names))
    monkeypatch.setattr(Leases, "give_back", lambda leases: None)
    slow, urgent = Job("slow", every=60), Job("urgent", every=0.01)
    done = threading.Event()
    slow.run = lambda: str(done.wait(30))

    def end_after_three_rounds():
        urgent.rounds.append(clock.now())
        if len(urgent.rounds) == 3:
            done.set()
            stop._stop()
        return ""

    urgent.run = end_after_three_rounds
    run_jobs.repeat_all([slow, urgent], stop)
    assert len(urgent.rounds) == 3


def test_one_round_runs_every_job_and_names_those_that_failed(jobs):
    broken, sound = Job("broken", every=10, fails=True), Job("sound", every=10)
    jobs(broken, sound)
    with pytest.raises(CommandError, match="broken"):
        call_command("run_jobs", "--once")
    assert len(sound.rounds) == 1


@pytest.mark.django_db
def test_one_round_of_the_real_jobs_works_on_an_empty_database():
    call_command("run_jobs", "--once")


def test_where_jobs_are_switched_off_it_says_so_and_ends(settings, jobs):
    settings.ENABLE_BACKGROUND_JOBS = False
    job = Job("job", every=1)
    jobs(job)
    out = StringIO()
    call_command("run_jobs", stdout=out)
    assert "ENABLE_BACKGROUND_JOBS is false" in out.getvalue()
    assert not job.rounds


def test_a_command_that_is_no_job_is_refused():
    with pytest.raises(CommandError, match="migrate is no periodic job"):
        run_jobs.load_job("migrate")


class Cleaner(JobCommand):
    can_dry_run = True

    def run(self, *, dry_run):
        return f"dry_run={dry_run}"


@pytest.mark.parametrize(("arguments", "said"), [((), "dry_run=False"), (("--dry-run",), "dry_run=True")])
def test_a_job_that_deletes_is_told_whether_to(arguments, said):
    out = StringIO()
    call_command(Cleaner(), *arguments, stdout=out)
    assert out.getvalue().strip() == said
