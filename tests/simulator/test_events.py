import struct
import threading
import time

import pytest

from spotopt.simulator.clockfile import ClockFile, ServersOwnClock
from spotopt.simulator.events import Scheduler
from spotopt.simulator.pace import Pace, automatic_stretch

START = 1000.0


class NotedClock:
    def __init__(self):
        self.moments = []

    def set(self, at):
        self.moments.append(at)


def make_scheduler(clock=None, **options):
    return Scheduler(clock or ServersOwnClock(), start=START, **options)


def test_events_run_in_order_of_time_then_of_planning():
    scheduler, seen = make_scheduler(), []
    for name, delay in (("c", 20), ("a", 10), ("b", 10), ("d", 30)):
        scheduler.after(delay, lambda name=name: seen.append((scheduler.now, name)), key="one")
    scheduler.run(START + 100)
    assert seen == [(START + 10, "a"), (START + 10, "b"), (START + 20, "c"), (START + 30, "d")]
    assert scheduler.now == START + 100


def test_what_is_due_at_the_end_or_later_does_not_run():
    scheduler, seen = make_scheduler(), []
    scheduler.after(10, lambda: seen.append("end"), key="one")
    scheduler.run(START + 10)
    assert seen == []
    scheduler.run(START + 11)
    assert seen == ["end"]


def test_a_cancelled_event_does_not_run_even_within_its_own_batch():
    scheduler, seen = make_scheduler(), []
    scheduler.after(5, lambda: victim.cancel(), key="one")
    victim = scheduler.after(5, lambda: seen.append("victim"), key="one")
    scheduler.run(START + 10)
    assert seen == []


def test_events_may_plan_further_events():
    scheduler, seen = make_scheduler(), []

    def tick():
        seen.append(scheduler.now - START)
        scheduler.after(10, tick, key="one")

    scheduler.after(10, tick, key="one")
    scheduler.run(START + 45)
    assert seen == [10, 20, 30, 40]


def test_fractions_of_a_second_share_the_batch_of_the_next_whole_second():
    scheduler, batches = make_scheduler(), []
    seen = []
    for delay in (4.2, 4.9, 5.0, 5.1):
        scheduler.after(delay, lambda delay=delay: seen.append(delay), key="one")
    scheduler.run(START + 10, lambda: batches.append(tuple(seen)))
    assert batches == [(4.2, 4.9, 5.0), (4.2, 4.9, 5.0, 5.1)]


def test_a_batch_runs_keys_in_parallel_and_one_key_in_order():
    scheduler = make_scheduler(threads=2)
    meeting, seen = threading.Barrier(2, timeout=10), []

    def meet(name):
        meeting.wait()  # breaks unless the other key runs at the same time
        seen.append(name)

    for name in ("a1", "a2", "a3"):
        scheduler.after(1, lambda name=name: meet(name), key="a")
    for name in ("b1", "b2", "b3"):
        scheduler.after(1, lambda name=name: meet(name), key="b")
    scheduler.run(START + 2)
    scheduler.close()
    assert [name for name in seen if name[0] == "a"] == ["a1", "a2", "a3"]
    assert [name for name in seen if name[0] == "b"] == ["b1", "b2", "b3"]


def test_an_exception_in_an_event_ends_the_run():
    scheduler = make_scheduler(threads=2)
    scheduler.after(1, lambda: 1 / 0, key="a")
    scheduler.after(1, lambda: None, key="b")
    with pytest.raises(ZeroDivisionError):
        scheduler.run(START + 2)
    scheduler.close()


def test_a_stop_ends_the_run_after_the_batch_and_leaves_the_time_there():
    scheduler, seen = make_scheduler(), []

    def stop():
        scheduler.stop_requested = True

    scheduler.after(5, stop, key="one")
    scheduler.after(5, lambda: seen.append("same batch"), key="one")
    scheduler.after(6, lambda: seen.append("later"), key="one")
    scheduler.run(START + 100)
    assert seen == ["same batch"]
    assert scheduler.now == START + 5


def test_the_servers_clock_is_moved_before_each_batch_and_never_back():
    clock = NotedClock()
    scheduler = make_scheduler(clock)
    seen = []
    scheduler.after(5, lambda: seen.append(clock.moments[-1]), key="one")
    scheduler.after(9, lambda: seen.append(clock.moments[-1]), key="one")
    scheduler.run(START + 20)
    assert seen == [START + 5, START + 9]
    assert clock.moments == sorted(clock.moments)


def test_a_speed_lets_that_many_seconds_pass_per_second():
    started = time.monotonic()  # before the scheduler's own clock starts
    scheduler = make_scheduler(speed=100)
    scheduler.after(10, lambda: None, key="one")
    scheduler.run(START + 20)
    assert time.monotonic() - started >= 0.2


def test_the_clock_file_holds_the_time_as_a_double(tmp_path):
    clock = ClockFile(tmp_path / "clock", at=START)
    assert struct.unpack("<d", (tmp_path / "clock").read_bytes()) == (START,)
    clock.set(START + 0.25)
    assert struct.unpack("<d", (tmp_path / "clock").read_bytes()) == (START + 0.25,)


def test_idle_calls_stand_on_a_common_grid():
    pace = Pace(stretch=10)
    assert pace.idle_due(1000, 30, phase=20) == 1220
    assert pace.idle_due(1220, 30, phase=20) == 1520
    assert pace.idle_due(1000, 30, phase=0, longest=90) == 1080


def test_an_automatic_stretch_meets_the_target_and_never_hurries():
    assert automatic_stretch(mix={"v4": 1}, days=0.1, target_requests=120_000) == 1
    assert automatic_stretch(mix={"v4": 200}, days=7, target_requests=120_000) > 100
