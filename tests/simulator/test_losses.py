"""Losses by availability traces, the quality of the signals that announce them, and what they may not lead to."""

import gzip
import itertools
from dataclasses import replace

import pytest
from django.core.management.base import CommandError

from spotopt.management.commands.simulate_fleet import SIGNAL_OPTIONS, TROUBLED, chosen_chances
from spotopt.simulator import checks, outages
from spotopt.simulator.ec2 import Ec2Error
from spotopt.simulator.losses import Losses, Series, read_losses
from spotopt.simulator.prices import BadPrices
from spotopt.simulator.reclaims import Reclaims
from tests.simulator.worlds import (
    HOUR,
    POOL_A,
    POOL_B,
    START,
    SURE,
    add_workload,
    make_world,
    run_for,
    serving_workload,
)

HEADER = "kind,nodes,trace,zone,instance,offset_s,value,price_usd_per_hour\n"
TRACE = HEADER + "".join(
    f"availability,1-node,aws-1,us-west-2{zone},v100_1,{offset},{value},\n"
    for zone, offset, value in [("a", 0, 4), ("a", 600, 1), ("a", 3600, -1), ("b", 0, 2), ("b", 3600, -1)]
)
STEADY = Series((0.0,), (5,), 100 * HOUR)


def losses_of(world, **series):
    """One trace with the given zones; `phase` is random, so each series lasts longer than the test."""
    traces = {("availability", "aws-1", "v100_1"): list(series.values())}
    return Losses(world, Reclaims(world, mean_life_hours=0), traces)


def fleet_in(world, pool, number):
    workloads = [add_workload(world, "v4b", key=f"web-{n}", pool=pool) for n in range(number)]
    run_for(world, 120)
    return workloads


def change(world, losses, *counts, pool=POOL_A):
    for count in counts:
        world.scheduler.after(0, lambda count=count: losses._change(pool, count), key="reclaims")
        run_for(world, 1)


# --- The file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())])
def test_a_trace_file_gives_one_series_per_zone(tmp_path, pack):
    (tmp_path / "trace").write_bytes(pack(TRACE))
    traces = read_losses(tmp_path / "trace")
    assert traces == {
        ("availability", "aws-1", "v100_1"): [Series((0, 600), (4, 1), 3600), Series((0,), (2,), 3600)],
    }


@pytest.mark.parametrize("text", [HEADER, HEADER + "a,b,c,d,e,soon,1,\n", "timestamp,price\n1,2\n"])
def test_a_file_that_is_no_trace_is_refused(tmp_path, text):
    (tmp_path / "trace").write_text(text)
    with pytest.raises(BadPrices, match="trace"):
        read_losses(tmp_path / "trace")


def test_a_series_repeats_when_the_run_is_longer():
    steps = itertools.islice(Series((0, 600), (4, 1), 3600).replay(0), 5)
    assert list(steps) == [(0, 4), (600, 1), (3600, 4), (4200, 1), (7200, 4)]


def test_a_series_may_begin_in_its_middle():
    steps = itertools.islice(Series((0, 600), (4, 1), 3600).replay(1000), 3)
    assert list(steps) == [(0, 1), (2600, 4), (3200, 1)]


def test_a_series_may_be_replayed_one_day_in_many():
    hourly = Series((0, HOUR), (4, 0), 2 * HOUR)
    steps = itertools.islice(hourly.replay_now_and_then(0, every_days=3, first_day=1), 6 * 24)
    closed = {int(at // (24 * HOUR)) for at, count in steps if count == 0}
    assert closed == {1, 4}


# --- Drops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after", "lost"), [(4, 1, 6), (2, 1, 4), (1, 0, 8), (1, 1, 0), (1, 3, 0)])
def test_a_drop_takes_its_share_of_the_pool(before, after, lost):
    world = make_world()
    workloads = fleet_in(world, POOL_A, 8)
    losses = losses_of(world, a=STEADY, b=STEADY)
    change(world, losses, before, after)
    run_for(world, 500)
    assert sum(workload.instances[0].was_reclaimed for workload in workloads) == lost
    assert all(
        i.ended_at - i.notice_at == pytest.approx(120, abs=1) for w in workloads for i in w.instances if i.ended_at
    )


def test_a_drop_spares_other_pools_and_ondemand_instances():
    world = make_world()
    other = add_workload(world, "v4b", key="other", pool=POOL_B)
    ondemand = add_workload(world, "v4b", key="ondemand", pool=POOL_A, mode="ondemand")
    run_for(world, 120)
    change(world, losses_of(world, a=STEADY, b=STEADY), 1, 0)
    run_for(world, 600)
    assert other.serving is other.instances[0]
    assert ondemand.serving is ondemand.instances[0]


def test_nothing_new_starts_in_a_pool_without_capacity_until_it_returns():
    world = make_world()
    workload = serving_workload(world)
    losses = losses_of(world, a=STEADY, b=STEADY)
    change(world, losses, 1, 0, pool=POOL_B)
    with pytest.raises(Ec2Error, match="^InsufficientInstanceCapacity: "):
        workload.launch(pool=POOL_B, mode="spot")
    workload.launch(pool=POOL_A, mode="spot")
    workload.launch(pool=POOL_B, mode="ondemand")
    change(world, losses, 1, pool=POOL_B)
    assert workload.launch(pool=POOL_B, mode="spot").pool == POOL_B


def test_the_zones_of_a_type_replay_the_zones_of_one_trace_the_same_for_the_same_seed():
    zones = {"a": Series((0, 600), (1, 0), 3600), "b": Series((0, 1200), (1, 0), 3600)}

    def history():
        world = make_world()
        losses, seen = losses_of(world, **zones), []
        losses.start()
        for _ in range(120):
            run_for(world, 60)
            seen.append(frozenset(world.cloud.exhausted))
        return seen, losses.drops

    (seen, drops), again = history(), history()
    assert (seen, drops) == again
    assert set(seen) >= {frozenset(), frozenset({POOL_A, POOL_B})}
    assert drops in (3, 4)  # two laps of two zones; the first may begin in the middle


# --- Signals --------------------------------------------------------------------------------------------------------


def taken(chances, *, dialect="v4", seconds=0.0):
    """A workload whose only instance is taken: (world, workload, instance)."""
    world = make_world(chances=chances)
    workload = serving_workload(world, dialect)
    reclaims = Reclaims(world, mean_life_hours=0)
    world.scheduler.after(0, lambda: reclaims.take(workload.instances[0], within=1), key="reclaims")
    run_for(world, seconds or 400)
    return world, workload, workload.instances[0], reclaims


def test_a_missing_notice_kills_without_a_word():
    world, workload, instance, reclaims = taken(replace(SURE, missing_notice=1))
    assert instance.was_reclaimed
    assert (instance.notice_at, instance.heard_at) == (None, None)
    assert world.transport.sent("termination-imminent") == []
    assert (reclaims.notices, reclaims.missing_notices, workload.interruptions) == (0, 1, 1)


def test_a_late_notice_leaves_less_than_two_minutes_and_tells_the_true_deadline():
    world, _, instance, reclaims = taken(replace(SURE, late_notice=1))
    assert 10 <= instance.ended_at - instance.notice_at <= 101
    assert reclaims.late_notices == 1
    told = [body["termination_time"] for body in world.transport.sent("termination-imminent")]
    assert set(told) <= {workload_time(world, instance.reclaim_at)}


def workload_time(world, at):
    return next(iter(world.workloads.values())).processes.popitem()[1].iso(at)


def test_false_hints_are_as_many_as_the_precision_says():
    world = make_world(chances=replace(SURE, rebalance_signal=1, rebalance_precision=0.25), hours=5000)
    doomed = [add_workload(world, "v2", key=f"doomed-{n}") for n in range(20)]
    add_workload(world, "v4", key="calm", pool=POOL_B)
    run_for(world, 120)
    reclaims = Reclaims(world, mean_life_hours=0)
    for workload in doomed:
        instance = workload.instances[0]
        world.scheduler.after(0, lambda instance=instance: reclaims.take(instance, within=60), key="reclaims")
    run_for(world, 3 * HOUR)
    assert (reclaims.hints, reclaims.false_hints) == (80, 60)
    assert world.workload("calm").interruptions == 0
    assert len(world.transport.sent("rebalance-recommendation")) == pytest.approx(60, abs=1)


@pytest.mark.parametrize(("restarted", "calls"), [(0.0, 1), (1.0, 2)])
def test_an_agent_may_die_between_two_calls_of_its_emergency(monkeypatch, restarted, calls):
    """Started again, it sees the notice again; here it dies at the same place each time."""
    monkeypatch.setattr("spotopt.simulator.dialects.base.STARTED_AGAIN", restarted)
    world, workload, instance, _ = taken(replace(SURE, dies_in_emergency=1))
    assert instance.id in workload.broken
    assert len(world.transport.sent("create-emergency-replica")) >= calls
    assert world.transport.sent("termination-imminent") == []


def given(**chosen):
    return dict.fromkeys(SIGNAL_OPTIONS.values()) | chosen


def test_each_share_of_the_signals_can_be_set_alone():
    assert chosen_chances(given(), default=TROUBLED) == TROUBLED
    assert chosen_chances(given(late_notice=0.0), default=TROUBLED) == replace(TROUBLED, late_notice=0.0)


def test_no_precision_at_all_is_refused():
    with pytest.raises(CommandError, match="rebalance-precision"):
        chosen_chances(given(rebalance_precision=0.0), default=TROUBLED)


# --- What is counted at the end -------------------------------------------------------------------------------------


def outage_kinds(world):
    return [outage.kind for outage in outages.outages_of(world, end=world.now)]


@pytest.mark.parametrize(
    ("dialect", "chances", "kind"),
    [
        ("v4", {}, outages.AVOIDABLE),
        ("v5", {}, outages.AVOIDABLE),
        ("v2", {}, outages.NO_LAUNCHER),
        ("v4b", {}, outages.NO_LAUNCHER),
        ("v4", {"late_notice": 1}, outages.LATE),
        ("v4", {"missing_notice": 1}, outages.UNANNOUNCED),
        ("v4", {"dies_in_emergency": 1}, outages.BROKEN),
    ],
)
def test_an_outage_is_counted_by_what_could_have_been_done(dialect, chances, kind):
    world, *_ = taken(replace(SURE, **chances), dialect=dialect)
    assert outage_kinds(world) == [kind]


@pytest.mark.parametrize(("dialect", "kind"), [("v4", outages.NO_CAPACITY), ("v5", outages.AVOIDABLE)])
def test_without_spot_capacity_only_v5_could_have_a_standby(dialect, kind):
    world = make_world()
    workload = serving_workload(world, dialect)
    world.cloud.exhausted |= {POOL_A, POOL_B}
    world.scheduler.after(
        0, lambda: Reclaims(world, mean_life_hours=0).take(workload.instances[0], within=1), key="reclaims"
    )
    run_for(world, 400)
    assert outage_kinds(world) == [kind]


def test_capacity_that_was_gone_before_the_instance_was_taken_is_none():
    world = make_world()
    workload = serving_workload(world)
    world.scheduler.after(90, lambda: world.cloud.exhausted.add(POOL_B), key="reclaims")
    reclaims = Reclaims(world, mean_life_hours=0)
    world.scheduler.after(0, lambda: reclaims.take(workload.instances[0], within=1), key="reclaims")
    run_for(world, 400)
    assert outage_kinds(world) == [outages.NO_CAPACITY]


def test_an_agent_that_dies_at_a_recommendation_is_started_again():
    world = make_world(chances=replace(SURE, dies_in_emergency=1))
    workload = serving_workload(world)
    workload.agent.rebalance()
    run_for(world, 31)
    assert world.transport.sent("rebalance-recommendation") == []
    run_for(world, 60)
    assert workload.agent is not None


def test_a_workload_that_is_served_again_within_the_notice_had_no_outage():
    world, workload, *_ = taken(SURE, seconds=130)
    assert workload.serving is None
    workload.serve(workload.launch(pool=POOL_B, mode="spot"))
    run_for(world, 600)
    assert outage_kinds(world) == []


def test_only_an_avoidable_outage_is_a_violation():
    findings = checks.Findings()
    listed = [outages.Outage("web", "i-1", START, 300, kind) for kind in outages.KINDS]
    checks.check_outages(listed, findings)
    assert findings.violations == ["web: nobody served for 300 s after i-1 (a standby could be had)"]


def test_a_request_that_was_launched_twice_is_a_violation():
    world, findings = make_world(), checks.Findings()
    workload = serving_workload(world)
    launching = {"replicas": [{"id": "r-1", "az": "us-east-1b"}]}
    world.transport.answers["replicas?status=launching"] = [launching, launching]
    run_for(world, 300)
    assert len(workload.instances) == 3
    checks.check_launches(world, findings)
    assert findings.violations == ["replica r-1 of web was launched 2 times"]
    assert findings.double_launches == 1


def known(instance, status="running_primary"):
    return {"id": instance.id, "agentId": "agent-1", "isPrimary": True, "instanceStatus": status}


@pytest.mark.parametrize("ends", [False, True])
def test_a_billed_instance_that_the_server_does_not_know_is_a_violation(ends):
    world, findings = make_world(), checks.Findings()
    workload = serving_workload(world)
    run_for(world, HOUR)
    if ends:
        workload.lose(workload.serving)
    checks.check_instances(world, [], findings, end=world.now)
    (violation,) = findings.violations
    assert violation.endswith("was billed and the server does not know it")
    assert findings.orphans == (not ends)


def test_an_instance_that_was_gone_before_its_agent_could_register_is_no_violation():
    world, findings = make_world(), checks.Findings()
    workload = serving_workload(world)
    workload.lose(workload.serving)
    checks.check_instances(world, [], findings, end=world.now)
    assert (findings.violations, findings.short_lived) == ([], 1)


def test_an_instance_that_still_runs_though_the_server_calls_it_terminated_is_an_orphan():
    world, findings = make_world(), checks.Findings()
    workload = serving_workload(world)
    run_for(world, HOUR)
    checks.check_instances(world, [known(workload.serving)], findings, end=world.now)
    assert (findings.violations, findings.orphans) == ([], 0)
    checks.check_instances(world, [known(workload.serving, "terminated")], findings, end=world.now)
    assert findings.orphans == 1
    assert "is terminated for the server" in findings.violations[0]
