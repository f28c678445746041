"""Heartbeats, who sent them, and silence (agent-api 1.8, 2.1, 3.2, 3.32)."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import OperationalError

from agents.models import Agent, Command
from agents.services import sweeps
from agents.services.sweeps import mark_silent_agents_offline
from instances.models import Instance
from notifications.models import Notification, SystemEvent
from spotopt.common import clock
from tests.dialects import V2, V4, V5, V4b
from tests.factories import ClientFactory, CommandFactory, InstanceFactory, token_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    with time_machine.travel("2026-01-05T12:00:00Z", tick=False) as travel:
        yield travel


@pytest.fixture
def v4(client_token, now):
    program = V4(client_token, instance_id="i-0aaa")
    program.register()
    return program


@pytest.fixture
def v5(client_token, now):
    program = V5(client_token, instance_id="i-0aaa")
    program.register()
    return program


@pytest.fixture
def zombie(v4, client_token):
    """The agent on the instance that `v4` took over from."""
    program = V4(client_token, instance_id="i-0old")
    InstanceFactory(agent=Agent.objects.get(), instance_id="i-0old", status="zombie", zombie_since=clock.now())
    program.register()
    return program


def agent():
    return Agent.objects.get()


def row(instance_id):
    return Instance.objects.get(instance_id=instance_id)


class TestThePrimary:
    @pytest.mark.parametrize("dialect", [V2, V4, V4b, V5])
    def test_is_answered_with_its_config(self, client_token, now, dialect):
        program = dialect(client_token, instance_id="i-0aaa")
        program.register()
        now.shift(timedelta(seconds=30))
        response = program.heartbeat()
        assert response.status_code == 200
        body = response.json()
        assert (body["success"], body["status"], body["role"]) == (True, "online", "primary")
        assert body["config"]["auto_switch_enabled"] is True
        assert body["commands_pending"] == 0
        assert agent().last_heartbeat_at == clock.now()

    @pytest.mark.parametrize(
        ("said", "understood"),
        [
            ("running", "online"),
            ("disabled", "disabled"),
            ("stopped", "offline"),
            ("gibberish", "online"),
            (None, "online"),
        ],
    )
    def test_may_use_any_word_for_its_status(self, v4, said, understood):
        assert v4.heartbeat(status=said).status_code == 200
        assert agent().status == understood

    def test_fills_in_what_was_unknown(self, client_token, now):
        program = V4(client_token, instance_id="i-0aaa", az=None, instance_type=None)
        program.register(mode="unknown")
        program.facts |= {"az": "us-east-1a", "instance_type": "t3.medium"}
        program.heartbeat()
        assert (agent().current_mode, agent().current_pool_id) == ("spot", "t3.medium.us-east-1a")
        assert row("i-0aaa").pool_id == "t3.medium.us-east-1a"

    def test_of_v2_says_how_it_is_bought_in_its_price_report_only(self, client_token, now):
        program = V2(client_token, instance_id="i-0aaa")
        program.register()
        block = {"instance_id": "i-0aaa", "instance_type": "t3.medium", "az": "us-east-1a", "current_mode": "spot"}
        program.post("pricing-report", {"instance": block, "spot_pools": []})
        assert (agent().current_mode, row("i-0aaa").pool_id) == ("spot", "t3.medium.us-east-1a")

    def test_does_not_change_what_is_known(self, v4):
        v4.facts |= {"mode": "ondemand", "az": "us-east-1f"}
        v4.heartbeat()
        assert (agent().current_mode, agent().az) == ("spot", "us-east-1a")

    def test_stays_switching_until_the_command_ends(self, v4):
        Agent.objects.update(status="switching")
        assert v4.heartbeat().json()["status"] == "switching"
        assert agent().status == "switching"

    def test_that_says_goodbye_is_offline_and_told_once(self, v4):
        v4.say_goodbye()
        v4.say_goodbye()
        assert agent().status == "offline"
        assert Notification.objects.filter(notification_type="agent_offline").count() == 1

    def test_that_comes_back_is_told_once(self, v4):
        v4.say_goodbye()
        v4.heartbeat()
        v4.heartbeat()
        assert agent().status == "online"
        assert Notification.objects.filter(notification_type="agent_online").count() == 1


class TestAZombie:
    """Same agent id, same token, another machine (agent-api 4.8)."""

    def test_touches_only_its_own_instance(self, v4, zombie, now):
        now.shift(timedelta(seconds=100))
        body = zombie.heartbeat().json()
        assert (body["role"], body["config"]["enabled"]) == ("zombie", False)
        assert row("i-0old").last_seen_at == clock.now()
        assert agent().last_heartbeat_at == clock.now() - timedelta(seconds=100)
        assert (agent().instance_id, agent().status) == ("i-0aaa", "online")

    def test_is_known_by_its_cookie_where_it_names_no_instance(self, v4, zombie):
        CommandFactory(agent=agent())
        assert zombie.get("config").json()["enabled"] is False
        assert zombie.orders() == []
        assert len(v4.orders()) == 1

    def test_cannot_put_the_agent_offline(self, v4, zombie):
        zombie.say_goodbye()
        zombie.heartbeat(status="offline")
        assert agent().status == "online"

    def test_without_a_cookie_cannot_put_the_agent_offline_either(self, v4, zombie):
        zombie.heartbeat()
        zombie.api.cookies.clear()
        zombie.say_goodbye()
        assert agent().status == "online"

    def test_that_counted_as_terminated_is_queued_again(self, v4, zombie):
        Instance.objects.filter(instance_id="i-0old").update(status="terminated", termination_confirmed=True)
        zombie.heartbeat()
        assert (row("i-0old").status, row("i-0old").termination_confirmed) == ("zombie", False)

    def test_cannot_steal_the_role(self, v4, zombie):
        for _ in range(3):
            zombie.register()
            zombie.heartbeat()
        assert agent().instance_id == "i-0aaa"
        assert row("i-0old").status == "zombie"


class TestAttribution:
    def test_a_forged_cookie_is_no_error(self, v4):
        v4.api.cookies["spotopt_instance"] = "forged:cookie"
        assert v4.get("config").json()["enabled"] is True

    def test_a_cookie_of_another_agent_does_not_count(self, v4, zombie, client_token):
        other = V4(client_token, instance_id="i-0eee", logical_agent_id="api")
        other.register()
        zombie.api.cookies = other.api.cookies
        zombie.agent_id, v4_id = other.agent_id, zombie.agent_id
        assert zombie.get("config").json()["enabled"] is True  # it is i-0eee there
        zombie.agent_id = v4_id
        assert zombie.get("config").json()["agent_id"] == v4_id

    def test_the_address_tells_where_there_is_no_cookie(self, v4, zombie):
        Instance.objects.filter(instance_id="i-0old").update(private_ip="10.0.0.9")
        zombie.api.cookies.clear()
        response = zombie.api.get(f"/api/agents/{zombie.agent_id}/config", REMOTE_ADDR="10.0.0.9")
        assert response.json()["enabled"] is False

    def test_a_forwarded_address_counts_only_from_a_trusted_proxy(self, v4, zombie, settings):
        Instance.objects.filter(instance_id="i-0old").update(private_ip="10.0.0.9")
        zombie.api.cookies.clear()
        headers = {"REMOTE_ADDR": "10.9.9.9", "HTTP_X_FORWARDED_FOR": "10.0.0.9"}
        path = f"/api/agents/{zombie.agent_id}/config"
        assert zombie.api.get(path, **headers).json()["enabled"] is True
        settings.TRUSTED_PROXIES = ["10.9.0.0/16"]
        assert zombie.api.get(path, **headers).json()["enabled"] is False

    def test_an_unknown_instance_id_changes_nothing(self, v4):
        response = v4.post("heartbeat", {"status": "online", "instance_id": "i-0never"})
        assert response.status_code == 200
        assert agent().instance_id == "i-0aaa"
        assert Instance.objects.count() == 1


class TestV5:
    def test_learns_its_mode_from_the_inventory(self, v5):
        assert agent().current_mode == "unknown"
        assert v5.heartbeat().json()["role"] == "primary"
        assert (agent().current_mode, agent().current_pool_id) == ("spot", "t3.medium.us-east-1a")

    def test_an_instance_without_a_pool_is_on_demand(self, v5):
        v5.post("heartbeat", {"inventory_snapshot": {"instances": [v5.entry("i-0aaa", None)], "count": 1}})
        assert (agent().current_mode, agent().current_pool_id) == ("ondemand", "")

    def test_other_peoples_instances_are_not_kept(self, v5):
        v5.heartbeat(("i-0foreign", "t3.medium.us-east-1a"))
        assert Instance.objects.count() == 1

    def test_one_that_is_missing_twice_is_gone(self, v5, now):
        InstanceFactory(agent=agent(), instance_id="i-0bbb", status="zombie", zombie_since=clock.now())
        now.shift(timedelta(minutes=3))
        v5.heartbeat()
        assert row("i-0bbb").status == "zombie"
        v5.heartbeat(("i-0bbb", "t3.medium.us-east-1a"))  # a slip of EC2's listing
        v5.heartbeat()
        assert row("i-0bbb").status == "zombie"
        v5.heartbeat()
        assert row("i-0bbb").status == "terminated"

    @pytest.mark.parametrize("snapshot", [{}, {"instances": [], "error": "Denied"}, {"instances": None}, "text", [1]])
    def test_a_useless_inventory_says_nothing(self, v5, now, snapshot):
        InstanceFactory(agent=agent(), instance_id="i-0bbb", status="zombie", zombie_since=clock.now())
        now.shift(timedelta(minutes=3))
        for _ in range(3):
            assert v5.post("heartbeat", {"inventory_snapshot": snapshot}).status_code == 200
        assert row("i-0bbb").status == "zombie"

    def test_a_huge_inventory_is_answered(self, v5):
        others = [(f"i-{n:017x}", "t3.medium.us-east-1a") for n in range(12_000)]
        assert v5.heartbeat(*others).status_code == 200
        assert Instance.objects.count() == 1

    def test_a_crash_in_the_inventory_does_not_cost_the_heartbeat(self, v5, monkeypatch, now):
        monkeypatch.setattr("instances.services.inventory.apply", lambda **_: 1 / 0)
        now.shift(timedelta(seconds=30))
        assert v5.heartbeat().status_code == 200
        assert agent().last_heartbeat_at == clock.now()

    def test_a_sticky_request_id_does_not_make_a_repeat(self, v5, now):
        v5.api.credentials(HTTP_AUTHORIZATION=f"Bearer {v5.token}", HTTP_X_REQUEST_ID="same-for-ever")
        for _ in range(2):
            now.shift(timedelta(seconds=30))
            assert v5.heartbeat().status_code == 200
            assert agent().last_heartbeat_at == clock.now()

    def test_reconnects_with_its_persisted_id(self, v5):
        v5.api.cookies.clear()
        response = v5.reconnect()
        assert response.status_code == 200
        assert "spotopt_instance" in response.cookies

    def test_an_obsolete_host_has_to_register(self, v5):
        Instance.objects.update(status="zombie")
        v5.api.cookies.clear()
        assert v5.reconnect().status_code == 404

    def test_another_machine_with_the_same_disk_has_to_register(self, v5):
        Instance.objects.update(private_ip="10.0.0.9")
        v5.api.cookies.clear()
        assert v5.reconnect().status_code == 404

    def test_shutdown_is_offline_and_ends_what_it_was_doing(self, v5, now):
        command = CommandFactory(
            agent=agent(),
            command_type="LAUNCH_INSTANCE",
            status="delivered",
            delivered_to="i-0aaa",
            delivered_at=clock.now(),
        )
        for _ in range(2):
            response = v5.post("shutdown", {"cloud_instance_id": "i-0aaa", "metadata": {"final_state": "SHUTDOWN"}})
            assert response.status_code == 200
        assert agent().status == "offline"
        assert row("i-0aaa").status == "running_primary"
        assert Notification.objects.filter(notification_type="agent_offline").count() == 1
        command.refresh_from_db()
        assert (command.status, command.timed_out) == ("failed", True)


class TestSilence:
    def test_of_two_minutes_is_offline(self, v4, now):
        now.shift(timedelta(seconds=120))
        assert mark_silent_agents_offline() == 0
        now.shift(timedelta(seconds=1))
        assert mark_silent_agents_offline() == 1
        assert agent().status == "offline"
        event = SystemEvent.objects.get(event_type="agent_marked_offline")
        assert (event.severity, event.agent_id) == ("warning", v4.agent_id)

    def test_is_told_once(self, v4, now, capsys):
        now.shift(timedelta(seconds=200))
        call_command("sweep_agents")
        call_command("sweep_agents")
        assert capsys.readouterr().out == "1 agents went offline\n0 agents went offline\n"
        assert Notification.objects.filter(notification_type="agent_offline").count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_is_told_although_the_first_attempt_lost_a_race(self, v4, now, monkeypatch):
        outcomes = iter([OperationalError(1213, "Deadlock found"), None])

        def announce(**facts):
            if error := next(outcomes):
                raise error
            told(**facts)

        told = sweeps.announce
        monkeypatch.setattr(sweeps, "announce", announce)
        now.shift(timedelta(seconds=121))
        assert mark_silent_agents_offline() == 1
        assert agent().status == "offline"
        assert SystemEvent.objects.filter(event_type="agent_marked_offline").count() == 1

    @pytest.mark.parametrize("status", ["disabled", "switching", "error"])
    def test_ages_every_status(self, v4, now, status):
        Agent.objects.update(status=status)
        now.shift(timedelta(seconds=121))
        mark_silent_agents_offline()
        assert agent().status == "offline"

    def test_of_a_v5_that_executes_may_last_seven_minutes(self, v5, now):
        CommandFactory(agent=agent(), command_type="LAUNCH_INSTANCE", status=Command.Status.DELIVERED)
        now.shift(timedelta(seconds=420))
        assert mark_silent_agents_offline() == 0
        now.shift(timedelta(seconds=1))
        assert mark_silent_agents_offline() == 1


class TestDeletion:
    def test_uninstall_removes_the_agent_of_this_instance(self, v4):
        response = v4.api.post("/api/agents/uninstall", {"instance_id": "i-0aaa", "reason": "manual_uninstall"})
        assert response.json()["agent_id"] == v4.agent_id
        assert agent().status == "deleted"
        assert [v4.heartbeat().status_code, v4.get("config").status_code] == [404, 404]
        assert agent().status == "deleted"

    def test_uninstall_withdraws_orders(self, v4):
        command = CommandFactory(agent=agent())
        v4.api.post("/api/agents/uninstall", {"instance_id": "i-0aaa"})
        command.refresh_from_db()
        assert command.status == "cancelled"

    @pytest.mark.parametrize("instance_id", ["unknown", "i-0never", None])
    def test_uninstall_of_the_unknown_is_nothing_to_do(self, v4, instance_id):
        response = v4.api.post("/api/agents/uninstall", {"instance_id": instance_id})
        assert (response.status_code, response.json()["agent_id"]) == (200, None)
        assert agent().status == "online"

    def test_another_tenants_agent_cannot_be_uninstalled(self, v4):
        stranger = V4(token_of(ClientFactory()), instance_id="i-0aaa")
        stranger.api.post("/api/agents/uninstall", {"instance_id": "i-0aaa"})
        assert agent().status == "online"
