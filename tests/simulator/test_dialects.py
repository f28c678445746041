"""What each agent program writes to the wire, against agent-api section 3."""

import pytest

from tests.simulator.worlds import (
    CONFIG,
    HOUR,
    ONDEMAND,
    POOL_A,
    POOL_B,
    START,
    TOKEN,
    Response,
    add_workload,
    make_world,
    run_for,
    serving_workload,
)

ALL = ["v2", "v4", "v4b", "v5"]


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def transport(world):
    return world.transport


def assert_no_complaints(world):
    assert not world.transport.counts.errors, world.transport.counts.kept


# --- Registration (3.1) ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ALL)
def test_a_registration_has_the_fields_of_its_dialect(world, transport, dialect):
    instance = serving_workload(world, dialect).instances[0]
    ip = instance.private_ip
    common = {
        "logical_agent_id": "web",
        "instance_id": instance.id,
        "instance_type": "t3.medium",
        "region": "us-east-1",
        "az": "us-east-1a",
        "ami_id": instance.ami_id,
        "hostname": f"ip-{ip.replace('.', '-')}",
    }
    addresses = {"mode": "spot", "private_ip": ip, "public_ip": None}
    assert transport.calls[0] == (
        "POST",
        "/api/agents/register",
        {
            "v2": common | {"agent_version": "3.2.0", "client_token": TOKEN},
            "v4": common | addresses | {"agent_version": "4.0.0", "client_token": TOKEN},
            "v4b": common | addresses | {"agent_version": "4.0.0"},
            "v5": common
            | {
                "logical_agent_id": instance.id,
                "agent_version": "5.0.1-production",
                "mode": "unknown",
                "cloud_account": "",
                "project_id": "default",
            },
        }[dialect],
    )
    assert len(transport.sent("register")) == 1
    assert world.promises.registered == {instance.id: "agent-1"}


def test_an_agent_that_is_refused_registers_again_when_its_service_restarts(world, transport):
    transport.answers["register"] = [Response(500, {"error": "no"})]
    serving_workload(world, "v4")
    assert len(transport.sent("register")) == 2
    assert transport.counts.errors == {"register: status 500": 1}


def test_a_registration_without_config_is_a_broken_contract(world, transport):
    transport.answers["register"] = [{"agent_id": "agent-1", "config": None}]
    serving_workload(world, "v4")
    assert transport.counts.errors == {"register: answer": 1}


# --- Heartbeats (3.2) -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["v2", "v4", "v4b"])
def test_a_heartbeat_has_the_fields_of_its_dialect(world, transport, dialect):
    instance = serving_workload(world, dialect).instances[0]
    assert (
        transport.sent("/api/agents/agent-1/heartbeat")[0]
        == {
            "v2": {"status": "online", "monitored_instances": [instance.id]},
            "v4": {
                "status": "online",
                "monitored_instances": [instance.id],
                "instance_id": instance.id,
                "instance_type": "t3.medium",
                "mode": "spot",
                "az": "us-east-1a",
            },
            "v4b": {"status": "online"},
        }[dialect]
    )


def test_a_v5_heartbeat_lists_every_instance_of_the_account_in_the_region(world, transport):
    add_workload(world, "v4b", key="other", mode="ondemand")
    instance = serving_workload(world, "v5").instances[0]
    body = transport.sent("heartbeat")[-1]
    assert body["status"] == "online"
    assert body["inventory_snapshot"]["count"] == len(body["inventory_snapshot"]["instances"]) == 2
    own = next(e for e in body["inventory_snapshot"]["instances"] if e["instance_id"] == instance.id)
    assert own == {
        "instance_id": instance.id,
        "state": "running",
        "az": "us-east-1a",
        "instance_type": "t3.medium",
        "pool": "t3.medium.us-east-1a",
        "tags": {"Name": "web"},
        "launch_time": "2026-01-05T12:00:00+00:00",
        "private_ip": instance.private_ip,
        "public_ip": None,
    }
    other = next(e for e in body["inventory_snapshot"]["instances"] if e["instance_id"] != instance.id)
    assert other["pool"] is None
    assert body["health_metrics"].keys() == {"uptime", "cpu_percent", "memory_percent"}
    assert isinstance(body["health_metrics"]["uptime"], int)


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("v2", "heartbeat", {"status": "offline", "monitored_instances": ["own"]}),
        ("v4", "heartbeat", {"status": "offline", "monitored_instances": []}),
        ("v4b", "heartbeat", {"status": "offline"}),
    ],
)
def test_an_agent_that_is_stopped_says_goodbye_and_comes_back_after_ten_seconds(world, transport, dialect, path, body):
    workload = serving_workload(world, dialect)
    if body.get("monitored_instances"):
        body = body | {"monitored_instances": [workload.instances[0].id]}
    workload.agent.stop_and_restart()
    assert transport.sent(path)[-1] == body
    assert workload.agent is None
    run_for(world, 12)
    assert len(transport.sent("register")) == 2


def test_a_restarted_v5_reconnects_with_the_id_on_its_disk(world, transport):
    workload = serving_workload(world, "v5")
    workload.agent.stop_and_restart()
    assert transport.sent("shutdown")[-1]["cloud_instance_id"] == workload.instances[0].id
    transport.calls.clear()
    run_for(world, 16)
    method, path, body = transport.calls[0]
    assert (method, path) == ("POST", "/api/agents/agent-1/heartbeat")
    assert body["health_metrics"]["uptime"] == 0
    assert body | {"health_metrics": None} == {
        "status": "online",
        "inventory_snapshot": {},
        "reconnect": True,
        "health_metrics": None,
    }
    assert transport.sent("register") == []


def test_a_v5_that_is_not_known_any_more_registers(world, transport):
    workload = serving_workload(world, "v5")
    workload.agent.stop_and_restart()
    transport.answers["heartbeat"] = [Response(404, {"code": "AGENT_NOT_FOUND"})]
    run_for(world, 16)
    assert len(transport.sent("register")) == 2
    assert_no_complaints(world)


def test_a_failed_heartbeat_silences_v5_until_its_restart(world, transport):
    serving_workload(world, "v5")
    transport.answers["heartbeat"] = [Response(503, {"code": "INTERNAL"})]
    run_for(world, 60)
    transport.calls.clear()
    run_for(world, 300)
    assert transport.calls == []
    run_for(world, 300)
    assert transport.sent("heartbeat")[0]["reconnect"] is True


# --- Rates (1.1) ----------------------------------------------------------------------------------------------------

RATES = {  # calls per hour
    "v2": {"heartbeat": 120, "pending-commands": 240, "config": 60, "pricing-report": 12},
    "v4": {
        "heartbeat": 120,
        "pending-commands": 240,
        "config": 60,
        "pricing-report": 12,
        "replicas?status=launching": 120,
        "replicas?status=terminated": 120,
        "instances-to-terminate": 60,
        "cleanup-report": 1,
    },
    "v4b": {"heartbeat": 120, "config": 120, "decide": 12},
    "v5": {"heartbeat": 120, "pending": 720, "pricing-report": 12},
}


@pytest.mark.parametrize("dialect", ALL)
def test_an_idle_agent_calls_what_its_dialect_calls_and_as_often(world, transport, dialect):
    serving_workload(world, dialect)
    transport.calls.clear()
    run_for(world, HOUR)
    counts = {}
    for _, path, _ in transport.calls:
        name = path.rpartition("/")[2]
        counts[name] = counts.get(name, 0) + 1
    assert counts.keys() == RATES[dialect].keys()
    for name, expected in RATES[dialect].items():
        assert counts[name] == pytest.approx(expected, abs=1, rel=0.01), name
    assert_no_complaints(world)


@pytest.mark.parametrize("dialect", ["v2", "v4"])
def test_a_disabled_agent_fetches_no_orders_and_says_that_it_is_disabled(world, transport, dialect):
    transport.usual["config"] = CONFIG | {"enabled": False}
    serving_workload(world, dialect)
    run_for(world, 120)
    transport.calls.clear()
    run_for(world, 300)
    assert transport.sent("pending-commands") == []
    assert transport.sent("heartbeat")[0]["status"] == "disabled"


# --- Prices (3.10) --------------------------------------------------------------------------------------------------

QUOTES = [  # cheapest first
    {"pool_id": POOL_B.id, "instance_type": "t3.medium", "az": "us-east-1b", "price": 0.0128},
    {"pool_id": POOL_A.id, "instance_type": "t3.medium", "az": "us-east-1a", "price": 0.0132},
]


def test_v4_reports_prices_in_a_pricing_block(world, transport):
    instance = serving_workload(world, "v4").instances[0]
    body = transport.sent("pricing-report")[0]
    assert body["instance"] == {
        "instance_id": instance.id,
        "instance_type": "t3.medium",
        "region": "us-east-1",
        "az": "us-east-1a",
        "mode": "spot",
        "pool_id": POOL_A.id,
    }
    assert body["pricing"].pop("collected_at").endswith("+00:00")
    assert body["pricing"] == {
        "on_demand_price": ONDEMAND,
        "current_spot_price": 0.0132,
        "cheapest_pool": {"pool_id": POOL_B.id, "price": 0.0128},
        "spot_pools": QUOTES,
    }


def test_v2_reports_prices_at_the_top_level(world, transport):
    instance = serving_workload(world, "v2", mode="ondemand").instances[0]
    assert transport.sent("pricing-report")[0] == {
        "instance": {
            "instance_id": instance.id,
            "instance_type": "t3.medium",
            "region": "us-east-1",
            "az": "us-east-1a",
            "current_mode": "ondemand",
            "current_pool_id": None,
        },
        "on_demand_price": {"price": ONDEMAND},
        "spot_pools": QUOTES,
    }


def test_v5_reports_prices_in_one_flat_list_with_naive_times(world, transport):
    serving_workload(world, "v5")
    body = transport.sent("pricing-report")[0]
    stamp = body["timestamp"]
    assert "+" not in stamp
    assert not stamp.endswith("Z")
    common = {"instance_type": "t3.medium", "timestamp": stamp}
    assert body["pricing_data_array"] == [
        common | {"az": "us-east-1a", "pool_id": POOL_A.id, "spot_price": 0.0132},
        common | {"az": "us-east-1b", "pool_id": POOL_B.id, "spot_price": 0.0128},
        common | {"price_type": "ondemand", "price": ONDEMAND},
    ]


# --- Switches of v2 and v4 (3.5–3.7, 3.11) --------------------------------------------------------------------------


def switch_command(**changes):
    return {
        "id": "command-1",
        "command_type": "switch",
        "target_mode": "spot",
        "target_pool_id": POOL_B.id,
        "priority": 100,
        "terminate_wait_seconds": 60,
    } | changes


def names_of_writes(transport):
    quiet = ("heartbeat", "pricing-report", "cleanup-report")
    names = [path.removeprefix("/api/agents/") for method, path, _ in transport.calls if method != "GET"]
    return [name.removeprefix("agent-1/") for name in names if not name.endswith(quiet)]


def test_v4_launches_its_successor_waits_ends_itself_and_reports_before_it_acknowledges(world, transport):
    workload = serving_workload(world, "v4")
    old = workload.instances[0]
    transport.calls.clear()
    transport.answers["pending-commands"] = [[switch_command(), switch_command(id="command-2")]]
    run_for(world, 400)
    new = workload.instances[1]
    assert workload.instances == [old, new]  # the second entry was not handled
    assert (new.pool, new.mode) == (POOL_B, "spot")
    assert workload.serving is new
    assert old.ended_at >= new.running_at + 60
    assert names_of_writes(transport) == ["register", "switch-report", "commands/command-1/executed"]
    assert transport.sent("executed") == [{"success": True, "message": f"Switched to {new.id}"}]
    report = transport.sent("switch-report")[0]
    side = {"instance_type": "t3.medium", "region": "us-east-1", "ami_id": old.ami_id, "mode": "spot"}
    assert report["old_instance"] == side | {"instance_id": old.id, "az": "us-east-1a", "pool_id": POOL_A.id}
    assert report["new_instance"] == side | {"instance_id": new.id, "az": "us-east-1b", "pool_id": POOL_B.id}
    assert report["prices"] == {"on_demand": ONDEMAND, "old_spot": 0.0132, "new_spot": 0.0128}
    assert report["snapshot"] == {"used": False}
    assert report["trigger"] == "manual"
    assert list(report["timing"]) == [
        "switch_initiated_at",
        "new_instance_launched_at",
        "new_instance_ready_at",
        "traffic_switched_at",
        "old_instance_terminated_at",
    ]
    assert "command_id" not in report
    assert world.promises.switched == {(old.id, new.id): "agent-1"}
    assert world.promises.executed == {"command-1": True}
    assert_no_complaints(world)


def test_without_a_wait_the_old_host_stays_and_its_agent_restarts(world, transport):
    workload = serving_workload(world, "v4")
    transport.answers["pending-commands"] = [[switch_command(terminate_wait_seconds=0, priority=10)]]
    run_for(world, 100)
    old, new = workload.instances
    assert old.ended_at is None
    assert workload.serving is new
    report = transport.sent("switch-report")[0]
    assert "old_instance_terminated_at" not in report["timing"]
    assert report["trigger"] == "model"
    assert {body["instance_id"] for body in transport.sent("register")[1:]} == {old.id, new.id}


def test_a_move_to_ondemand_capacity_has_no_new_spot_price(world, transport):
    workload = serving_workload(world, "v4")
    command = switch_command(target_mode="ondemand", target_pool_id=None)
    transport.answers["pending-commands"] = [[command]]
    run_for(world, 400)
    assert workload.serving.mode == "ondemand"
    report = transport.sent("switch-report")[0]
    assert report["prices"] == {"on_demand": ONDEMAND, "old_spot": 0.0132, "new_spot": None}
    assert report["new_instance"]["pool_id"] is None


def test_v2_waits_its_own_five_minutes_and_marks_the_command(world, transport):
    workload = serving_workload(world, "v2", mode="ondemand")
    transport.calls.clear()
    transport.answers["pending-commands"] = [[switch_command(terminate_wait_seconds=0)]]
    run_for(world, 500)
    old, new = workload.instances
    assert old.ended_at >= new.running_at + 300
    assert names_of_writes(transport) == ["register", "switch-report", "mark-command-executed"]
    assert transport.sent("mark-command-executed") == [{"command_id": "command-1"}]
    report = transport.sent("switch-report")[0]
    assert report["prices"] == {"on_demand": ONDEMAND, "old_spot": 0.0, "new_spot": 0.0128}
    assert "new_instance_launched_at" not in report["timing"]
    assert report["timing"]["old_instance_terminated_at"].endswith("Z")


def test_without_a_target_v2_marks_the_command_and_v4_skips_it(world, transport):
    serving_workload(world, "v2")
    transport.answers["pending-commands"] = [[switch_command(target_mode=None)]]
    run_for(world, 30)
    assert transport.sent("mark-command-executed") == [{"command_id": "command-1"}]
    other = make_world()
    workload = serving_workload(other, "v4")
    other.transport.answers["pending-commands"] = [[switch_command(target_mode=None)]]
    run_for(other, 30)
    assert other.transport.sent("executed") == []
    assert len(workload.instances) == 1


def test_a_launch_that_ec2_refuses_is_acknowledged_as_failed(world, transport):
    workload = serving_workload(world, "v4")
    world.cloud._capacity_failures = 1
    transport.answers["pending-commands"] = [[switch_command()]]
    run_for(world, 30)
    (body,) = transport.sent("executed")
    assert body["success"] is False
    assert "InsufficientInstanceCapacity" in body["message"]
    assert workload.serving is workload.instances[0]
    assert world.orders.all()[0].outcome == "failed"


@pytest.mark.parametrize(
    "changes",
    [{"priority": None}, {"terminate_wait_seconds": -1}, {"target_pool_id": 7}, {"command_type": "LAUNCH_INSTANCE"}],
)
def test_an_entry_on_which_real_agents_break_is_complained_about(world, transport, changes):
    serving_workload(world, "v2")
    transport.answers["pending-commands"] = [[switch_command(**changes)]]
    run_for(world, 16)
    assert transport.counts.errors == {"pending-commands: entry": 1}


# --- Orders of v5 (3.8, 3.9) ----------------------------------------------------------------------------------------


def v5_command(command_type="LAUNCH_INSTANCE", **changes):
    return {
        "command_type": command_type,
        "request_id": "request-1",
        "instance_id": "temporary-1",
        "params": {"instance_type": "t3.medium", "az": "us-east-1a", "target_pool": f"spot.{POOL_A.id}"},
        "metadata": {},
    } | changes


def test_v5_launches_a_standby_and_reports_it_twice(world, transport):
    workload = serving_workload(world, "v5", mode="ondemand")
    transport.answers["pending"] = [{"commands": [v5_command()]}]
    run_for(world, 60)
    own, new = workload.instances
    assert (new.mode, new.pool) == ("spot", POOL_A)
    assert workload.serving is own
    assert new.id in workload.standbys
    launched = transport.sent("instance-launched")[0]
    assert "+" not in launched.pop("confirmed_at")
    assert launched == {
        "temp_instance_id": "temporary-1",
        "instance_id": new.id,
        "instance_type": "t3.medium",
        "az": "us-east-1a",
        "request_id": "request-1",
    }
    result = transport.sent("action-result")[0]
    took = result["metadata"].pop("confirmation_time_seconds")
    assert took == int(new.running_at - new.launched_at) or took == int(new.running_at - new.launched_at) + 1
    assert result | {"metadata": None} == {
        "request_id": "request-1",
        "agent_id": "agent-1",
        "result": "SUCCESS",
        "cloud_instance_id": new.id,
        "error_message": None,
        "metadata": None,
    }
    assert result["metadata"].keys() == {"ami_id", "security_groups", "subnet_id"}
    assert_no_complaints(world)


def test_a_launch_with_the_role_of_a_primary_takes_the_traffic(world, transport):
    workload = serving_workload(world, "v5")
    params = {"instance_type": "t3.medium", "az": "us-east-1a", "role_hint": "primary"}
    transport.answers["pending"] = [{"commands": [v5_command(params=params)]}]
    run_for(world, 60)
    old, new = workload.instances
    assert new.mode == "ondemand"  # the text of target_pool decides
    assert workload.serving is new
    assert world.promises.switched == {(old.id, new.id): "agent-1"}


def test_v5_cannot_leave_its_zone(world, transport):
    workload = serving_workload(world, "v5")
    params = {"instance_type": "t3.medium", "az": "us-east-1b", "target_pool": f"spot.{POOL_B.id}"}
    transport.answers["pending"] = [{"commands": [v5_command(params=params)]}]
    run_for(world, 10)
    result = transport.sent("action-result")[0]
    assert result["result"] == "FAILURE"
    assert result["error_message"].startswith("InvalidParameterValue: ")
    assert len(workload.instances) == 1


def test_v5_reports_a_repeated_request_again_without_executing_it_again(world, transport):
    workload = serving_workload(world, "v5")
    transport.answers["pending"] = [{"commands": [v5_command()]}, {"commands": [v5_command()]}]
    run_for(world, 90)
    first, second = transport.sent("action-result")
    assert first == second
    assert len(workload.instances) == 2


def test_v5_terminates_what_the_parameters_name(world, transport):
    workload = serving_workload(world, "v5")
    transport.answers["pending"] = [{"commands": [v5_command()]}]
    run_for(world, 60)
    standby = workload.instances[1]
    command = v5_command("TERMINATE_INSTANCE", request_id="request-2", params={"instance_id": standby.id})
    transport.answers["pending"] = [{"commands": [command]}]
    run_for(world, 90)
    assert standby.ended_at is not None
    assert transport.sent("instance-terminated")[0]["instance_id"] == standby.id
    assert transport.sent("action-result")[-1]["cloud_instance_id"] == standby.id
    assert list(world.promises.terminated) == [standby.id]


@pytest.mark.parametrize(
    "changes",
    [{"params": None}, {"metadata": None}, {"request_id": None}, {"command_type": "switch"}],
)
def test_an_order_on_which_v5_breaks_is_complained_about(world, transport, changes):
    serving_workload(world, "v5")
    transport.answers["pending"] = [{"commands": [v5_command(**changes)]}]
    run_for(world, 6)
    assert transport.counts.errors == {"commands/pending: entry": 1}
    assert transport.sent("action-result") == []


def test_an_array_instead_of_an_object_is_complained_about(world, transport):
    serving_workload(world, "v5")
    transport.answers["pending"] = [[]]
    run_for(world, 6)
    assert transport.counts.errors == {"commands/pending: answer": 1}


# --- Terminations and signals of v4 (3.15–3.17, 3.27) ---------------------------------------------------------------


def test_v4_terminates_what_is_listed_and_reports_the_outcome(world, transport):
    workload = serving_workload(world, "v4")
    left = workload.launch(pool=POOL_B, mode="spot", surely=True)
    entries = [{"instance_id": left.id}, {"instance_id": "i-unknown"}]
    transport.answers["instances-to-terminate"] = [{"instances": entries, "auto_terminate_enabled": True}]
    run_for(world, 70)
    assert left.ended_at is not None
    first, second = transport.sent("termination-report")
    assert first.pop("terminated_at").endswith("+00:00")
    assert first == {"instance_id": left.id, "success": True, "error": None}
    assert (second["instance_id"], second["success"]) == ("i-unknown", True)  # not found is as good as terminated


def test_a_termination_that_ec2_refuses_is_reported_as_failed(world, transport):
    workload = serving_workload(world, "v4")
    left = workload.launch(pool=POOL_B, mode="spot", surely=True)
    world.cloud._termination_failures = 1
    listed = {"instances": [{"instance_id": left.id}], "auto_terminate_enabled": True}
    transport.answers["instances-to-terminate"] = [listed]
    run_for(world, 70)
    assert transport.sent("termination-report") == [
        {
            "instance_id": left.id,
            "success": False,
            "error": "RequestLimitExceeded: Request limit exceeded.",
            "terminated_at": None,
        }
    ]
    assert world.promises.terminated == {}


def test_a_list_with_the_primary_on_it_is_complained_about(world, transport):
    workload = serving_workload(world, "v4")
    listed = {"instances": [{"instance_id": workload.serving.id}], "auto_terminate_enabled": True}
    transport.answers["instances-to-terminate"] = [listed]
    run_for(world, 70)
    assert transport.counts.errors == {"instances-to-terminate: the primary is listed": 1}


def test_v4_asks_for_a_replica_and_then_tells_of_the_end(world, transport):
    workload = serving_workload(world, "v4")
    own = workload.serving
    transport.calls.clear()
    transport.answers["termination-imminent"] = [{"success": False, "pending": True}]
    workload.agent.notice(START + 600)
    run_for(world, 6)
    assert names_of_writes(transport) == ["create-emergency-replica", "termination-imminent"]
    deadline = "2026-01-05T12:10:00+00:00"
    assert transport.sent("create-emergency-replica") == [
        {"signal_type": "termination-notice", "instance_id": own.id, "termination_time": deadline}
    ]
    imminent = transport.sent("termination-imminent")[0]
    assert imminent.pop("detected_at").endswith("+00:00")
    assert imminent == {"instance_id": own.id, "termination_time": deadline}
    assert workload.agent is not None


def test_v4_shuts_down_when_the_server_says_that_it_has_failed_over(world, transport):
    workload = serving_workload(world, "v4")
    standby = workload.launch(pool=POOL_B, mode="spot", surely=True)
    workload.standbys.add(standby.id)
    run_for(world, 60)
    transport.answers["termination-imminent"] = [{"success": True, "new_instance_id": standby.id}]
    workload.serving.reclaim_at = START + 600
    workload.agent.notice(START + 600)
    run_for(world, 6)
    assert workload.serving is standby
    assert workload.failovers == 1
    assert {"status": "offline", "monitored_instances": []} in transport.sent("heartbeat")


def test_v4b_repeats_its_notice_every_ten_seconds(world, transport):
    workload = serving_workload(world, "v4b")
    workload.agent.notice(START + 600)
    run_for(world, 41)
    bodies = transport.sent("rebalance-recommendation")
    assert len(bodies) == 4
    assert bodies[0] == {"notice_time": "2026-01-05T12:10:00+00:00", "immediate": True}


def test_v5_reports_its_end_every_ten_seconds_in_naive_time(world, transport):
    workload = serving_workload(world, "v5")
    own = workload.serving
    workload.agent.notice(START + 600)
    run_for(world, 41)
    bodies = transport.sent("termination-report")
    assert len(bodies) == 4
    assert bodies[0] == {
        "cloud_instance_id": own.id,
        "notice_type": "TERMINATION",
        "termination_time": "2026-01-05T12:10:00",
    }


def test_v4_launches_the_replica_that_the_server_lists(world, transport):
    workload = serving_workload(world, "v4")
    transport.calls.clear()
    transport.answers["replicas?status=launching"] = [{"replicas": [{"id": "replica-1", "az": "us-east-1b"}]}]
    run_for(world, 120)
    standby = workload.instances[1]
    assert (standby.pool, standby.mode) == (POOL_B, "spot")
    puts = [(path, body) for method, path, body in transport.calls if method == "PUT"]
    assert puts == [
        ("/api/agents/agent-1/replicas/replica-1", {"instance_id": standby.id, "status": "syncing"}),
    ]
    said = transport.sent("replica-1/status")
    assert [body["status"] for body in said] == ["ready"]
    assert workload.serving is workload.instances[0]
