"""The checks at the end of a run must fail when an invariant is violated: made-up records of broken servers."""

import json

import pytest

from spotopt.simulator import checks
from tests.simulator.worlds import POOL_B, make_world, run_for, serving_workload

LONG_AGO = 2 * checks.DEADLINE_SECONDS


class Records:
    """Stands for the job runner: `dumpdata` of made-up rows."""

    def __init__(self, **rows):
        self.rows = rows  # by model name

    def run(self, name, model, *_):
        assert name == "dumpdata"
        rows = self.rows.get(model.rpartition(".")[2], [])
        return json.dumps([{"model": model, "pk": number, "fields": row} for number, row in enumerate(rows)])


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def workload(world):
    return serving_workload(world)


@pytest.fixture
def findings():
    return checks.Findings()


def row_of(instance, *, primary=True, status="running_primary", agent="agent-1"):
    return {"id": instance.id, "agentId": agent, "isPrimary": primary, "instanceStatus": status}


def accept(world, *, at, kind="switch", workload="web", request_id=""):
    return world.orders.accept(command_id="command-1", request_id=request_id, workload=workload, kind=kind, at=at)


def check_orders(world, findings):
    checks.check_executions(world, findings)
    checks.check_deliveries(world, findings)


def command_row(**changes):
    return {"public_id": "command-1", "request_id": "", "status": "completed", "message": ""} | changes


# --- Primaries ------------------------------------------------------------------------------------------------------


def test_one_primary_that_serves_is_right(world, workload, findings):
    checks.check_primaries(world, [row_of(workload.serving)], findings)
    assert findings.violations == []
    assert (findings.one_primary, findings.agents) == (1, 1)


def test_two_primaries_are_a_violation(world, workload, findings):
    other = workload.launch(pool=POOL_B, mode="spot", surely=True)
    checks.check_primaries(world, [row_of(workload.serving), row_of(other)], findings)
    assert "agent agent-1 has 2 primaries" in findings.violations
    assert (findings.one_primary, findings.agents) == (0, 1)


def test_another_primary_than_the_serving_instance_is_a_violation(world, workload, findings):
    other = workload.launch(pool=POOL_B, mode="spot", surely=True)
    rows = [row_of(workload.serving, primary=False, status="zombie"), row_of(other)]
    checks.check_primaries(world, rows, findings)
    assert findings.violations == [f"web: {workload.serving.id} serves but is zombie for the server"]
    assert findings.one_primary == 0


def test_a_serving_instance_that_the_server_forgot_is_a_violation(world, workload, findings):
    checks.check_primaries(world, [], findings)
    assert f"web: {workload.serving.id} serves but the server does not know it" in findings.violations


def test_a_workload_that_nobody_serves_is_noted_and_no_violation(world, workload, findings):
    workload.lose(workload.serving)
    checks.check_primaries(world, [], findings)
    assert findings.violations == []
    assert findings.unknown == ["web is not served at the end"]


# --- Acknowledged reports -------------------------------------------------------------------------------------------


def test_a_lost_registration_is_a_violation(world, workload, findings):
    checks.check_promises(world, [], findings)
    assert findings.violations == [f"registration of {workload.serving.id} was acknowledged and is lost"]


def test_a_switch_to_an_unknown_instance_is_a_violation(world, workload, findings):
    world.promises.switch(workload.serving.id, "i-new", "agent-1")
    checks.check_promises(world, [row_of(workload.serving)], findings)
    assert findings.violations == [f"switch {workload.serving.id} → i-new was acknowledged, but i-new is unknown"]


def test_a_lost_termination_is_a_violation_once_it_had_time_to_settle(world, workload, findings):
    rows = [row_of(workload.serving), {"id": "i-old", "agentId": "agent-1", "isPrimary": False}]
    rows[1]["instanceStatus"] = "zombie"
    world.promises.terminate("i-old", world.now)
    checks.check_promises(world, rows, findings)
    assert findings.violations == []
    run_for(world, LONG_AGO)
    checks.check_promises(world, rows, findings)
    assert findings.violations == ["termination of i-old was acknowledged, but it is zombie"]


def test_kept_promises_are_no_violation(world, workload, findings):
    world.promises.switch("i-old", workload.serving.id, "agent-1")
    world.promises.terminate("i-old", world.now)
    run_for(world, LONG_AGO)
    rows = [row_of(workload.serving)]
    rows.append({"id": "i-old", "agentId": "agent-1", "isPrimary": False, "instanceStatus": "terminated"})
    checks.check_promises(world, rows, findings)
    assert findings.violations == []


# --- Orders ---------------------------------------------------------------------------------------------------------


def test_an_order_that_was_carried_out_twice_is_a_repeated_switch(world, workload, findings):
    order = accept(world, at=world.now)
    order.deliveries += [(world.now, "i-1"), (world.now, "i-2")]
    order.launched += ["i-3", "i-4"]
    check_orders(world, findings)
    assert findings.repeated_switches == 1
    assert findings.violations == ["switch command-1 was executed 2 times"]


def test_an_order_that_nobody_ever_fetched_is_lost(world, workload, findings):
    accept(world, at=world.now)
    check_orders(world, findings)
    assert findings.lost_orders == 0  # there is time left
    run_for(world, LONG_AGO)
    check_orders(world, findings)
    assert findings.lost_orders == 1
    assert findings.violations == ["switch command-1 for web was never fetched"]


def test_an_order_whose_instance_went_first_is_not_lost(world, workload, findings):
    accept(world, at=world.now)
    run_for(world, 300)
    workload.lose(workload.serving)
    run_for(world, LONG_AGO)
    check_orders(world, findings)
    assert findings.violations == []


def test_a_delivered_order_is_neither_lost_nor_repeated(world, workload, findings):
    order = accept(world, at=world.now)
    order.deliveries += [(world.now, "i-1"), (world.now + 15, "i-1")]  # listed twice, executed once
    order.launched.append("i-3")
    run_for(world, LONG_AGO)
    check_orders(world, findings)
    assert (findings.violations, findings.lost_orders, findings.repeated_switches) == ([], 0, 0)


# --- The server's own records ---------------------------------------------------------------------------------------


def test_an_accepted_order_without_a_record_is_lost(world, workload, findings):
    accept(world, at=world.now)
    checks.check_records(world, Records(), findings)
    assert findings.violations == ["switch command-1 was accepted and is lost"]


def test_an_order_that_never_ends_is_a_violation(world, workload, findings):
    accept(world, at=world.now)
    records = Records(command=[command_row(status="delivered")])
    checks.check_records(world, records, findings)
    assert findings.violations == []
    run_for(world, LONG_AGO)
    checks.check_records(world, records, findings)
    assert findings.violations == ["switch command-1 of web is still delivered"]


def test_a_switch_that_was_executed_must_be_on_record_as_completed(world, workload, findings):
    accept(world, at=world.now).outcome = "done"
    run_for(world, LONG_AGO)
    checks.check_records(world, Records(command=[command_row(status="failed", message="timeout")]), findings)
    assert findings.violations == ["switch command-1 of web was executed, but is failed: timeout"]


def test_an_instance_that_lived_while_the_server_was_away_need_not_be_known(world, workload, findings):
    since = world.now
    successor = workload.launch(pool=POOL_B, mode="spot", surely=True)
    run_for(world, 1000)
    workload.terminate(successor.id, surely=True)
    rows = [row_of(workload.serving)]
    checks.check_instances(world, rows, findings, end=world.now)
    assert len(findings.violations) == 1
    world.outages.append((since, since + 900))
    checks.check_instances(world, rows, again := checks.Findings(), end=world.now)
    assert again.violations == []


@pytest.mark.parametrize("identifier", ["command-1", "request-1"])
def test_a_server_that_was_away_must_know_of_a_switch_what_it_acknowledged(world, workload, findings, identifier):
    accept(world, at=world.now, request_id="request-1").outcome = "done"
    world.outages.append((world.now, world.now + 60))
    run_for(world, LONG_AGO)
    records = Records(command=[command_row(status="failed", message="No result in time", request_id="request-1")])
    checks.check_records(world, records, findings)
    assert findings.violations == []
    world.promises.execute(identifier, success=True)
    checks.check_records(world, records, findings)
    assert findings.violations == ["switch command-1 of web was executed, but is failed: No result in time"]


def test_a_lost_result_is_a_violation(world, workload, findings):
    world.promises.execute("request-1", success=True)
    checks.check_records(world, Records(), findings)
    assert findings.violations == ["the result (True) of request-1 was acknowledged and is lost"]
    checks.check_records(
        world, Records(command=[command_row(request_id="request-1", status="delivered")]), again := checks.Findings()
    )
    assert len(again.violations) == 1


def test_a_lost_switch_report_is_a_violation(world, workload, findings):
    world.promises.switch("i-old", "i-new", "agent-1")
    checks.check_records(world, Records(), findings)
    assert findings.violations == ["switch i-old → i-new was acknowledged and is not on record"]


def test_a_switch_that_is_on_record_twice_is_a_violation(world, workload, findings):
    row = {"old_instance_id": "i-old", "new_instance_id": "i-new"}
    checks.check_records(world, Records(switch=[row, row]), findings)
    assert findings.violations == ["switch i-old → i-new is on record 2 times"]


def test_complete_records_are_no_violation(world, workload, findings):
    accept(world, at=world.now, request_id="request-1").outcome = "done"
    world.promises.execute("request-1", success=True)
    world.promises.switch("i-old", "i-new", "agent-1")
    run_for(world, LONG_AGO)
    records = Records(
        command=[command_row(request_id="request-1")],
        switch=[{"old_instance_id": "i-old", "new_instance_id": "i-new"}],
    )
    checks.check_records(world, records, findings)
    assert findings.violations == []
