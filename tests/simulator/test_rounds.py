"""The server's sudden deaths, its jobs, and the losses that EC2 inflicts."""

import threading

import pytest

from spotopt.simulator.reclaims import Reclaims
from spotopt.simulator.rounds import Chaos, JobRounds
from spotopt.simulator.workload import ORDER
from tests.simulator.worlds import HOUR, make_world, run_for, serving_workload


class Victim:
    """A server whose kill takes effect only when it is let: as on a machine that is busy."""

    def __init__(self):
        self.events = []
        self.may_die = threading.Event()

    def kill(self):
        self.may_die.wait(10)
        self.events.append("killed")

    def start(self):
        self.events.append("started")


def test_a_killed_server_is_dead_before_the_new_one_starts():
    world, victim, said = make_world(), Victim(), []
    Chaos(world, victim, every_hours=1, say=said.append).start()
    world.scheduler.at(world.now + HOUR + 20, victim.may_die.set, key="test")  # while it is down
    run_for(world, 1.5 * HOUR)
    assert victim.events == ["killed", "started"]
    assert said == ["server killed with SIGKILL and started again (1)"]
    assert world.transport.is_down_on_purpose is False


def test_requests_may_fail_only_while_the_server_is_down_on_purpose():
    world, victim = make_world(), Victim()
    victim.may_die.set()
    chaos = Chaos(world, victim, every_hours=1, say=lambda text: None)
    chaos.start()
    run_for(world, HOUR + 30)
    assert world.transport.is_down_on_purpose is True
    run_for(world, 3 * HOUR)
    assert chaos.kills == 3


def test_the_server_is_left_alone_when_the_run_winds_down():
    world, victim = make_world(hours=1.5), Victim()
    victim.may_die.set()
    Chaos(world, victim, every_hours=1, say=lambda text: None).start()
    run_for(world, 1.5 * HOUR)
    assert victim.events == []


class Runner:
    def __init__(self, *, missing=()):
        self.missing = set(missing)
        self.names = []

    def run(self, name, *_):
        self.names.append(name)


def test_all_jobs_run_after_each_round_of_heartbeats():
    world, runner = make_world(stretch=10), Runner(missing=["rollup_savings"])
    JobRounds(world, runner).start()
    run_for(world, HOUR)
    for name in ("sweep_agents", "roll_up_ledger", "expire_commands", "sweep_terminations", "sweep_failovers"):
        assert runner.names.count(name) == 11, name  # every 300 s, the end not included
    assert "rollup_savings" not in runner.names
    assert "prune_history" not in runner.names


def test_an_order_under_way_is_looked_after_every_minute():
    world, runner = make_world(stretch=10), Runner()
    workload = serving_workload(world)
    run_for(world, 180)
    JobRounds(world, runner).start()
    workload.attend(ORDER, 10_000)
    runner.names.clear()
    run_for(world, 240)
    assert runner.names.count("expire_commands") >= 3


@pytest.mark.parametrize(("mean_life", "expected"), [(0, 0), (1, 1)])
def test_a_spot_instance_gets_two_minutes_notice_before_it_is_taken(mean_life, expected):
    world = make_world()
    workload = serving_workload(world, "v4b")
    reclaims = Reclaims(world, mean_life_hours=mean_life)
    reclaims.start()
    run_for(world, 24 * HOUR)
    instance = workload.instances[0]
    assert reclaims.notices == workload.interruptions == expected
    assert instance.was_reclaimed == bool(expected)
    if expected:
        assert instance.ended_at - instance.notice_at == pytest.approx(120, abs=1)
        assert workload.serving is None


def test_ondemand_instances_are_never_taken():
    world = make_world()
    workload = serving_workload(world, "v4b", mode="ondemand")
    Reclaims(world, mean_life_hours=0.5).start()
    run_for(world, 24 * HOUR)
    assert workload.serving is workload.instances[0]
