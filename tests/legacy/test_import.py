"""`import_legacy`: what is moved, by which rules, and that it can be cut short and repeated."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from agents.models import Agent
from analytics.models import ArchivedSavings, SwitchTally, UsageLedger
from analytics.services.ledger import roll_up
from clients.models import Client
from clients.services import find_by_token
from decisions.models import ModelSession
from instances.models import Instance, Replica, Switch, UsageInterval
from notifications.models import Delivery, Notification, SystemEvent
from notifications.services import outbox
from spotopt.legacy import tables
from spotopt.legacy.source import Source, SourceError, find_address
from spotopt.legacy.steps import events
from spotopt.management.commands import import_legacy
from tests.dialects import V4
from tests.factories import AgentFactory, ClientFactory, WebhookEndpointFactory, token_of
from tests.legacy.conftest import LAB, LAB_TOKEN, SHOP, SHOP_TOKEN, WEB

pytestmark = [pytest.mark.mysql, pytest.mark.django_db]

OTHER = "a2a2a2a2-0000-4000-8000-000000000002"


def everything():
    """All rows of all our models, to be compared."""
    return {m._meta.label: sorted(map(str, m._default_manager.values())) for m in apps.get_models()}


def skipped(report, table):
    return {reason: found["count"] for reason, found in report["tables"][table]["skipped"].items()}


def notes(report, table):
    return {text: found["count"] for text, found in report["tables"][table]["notes"].items()}


class TestClients:
    def test_the_token_keeps_working(self, legacy, run):
        legacy.add_client()
        run()
        client = find_by_token(token=SHOP_TOKEN)
        assert (client.public_id, client.name, client.email) == (SHOP, "Shop", "shop@example.com")
        assert token_of(client) == SHOP_TOKEN
        assert client.created_at == datetime(2025, 1, 5, tzinfo=UTC)

    def test_two_with_one_token_the_active_one_keeps_it(self, legacy, run):
        legacy.add_client(created_at="2020-01-01", is_active=0)
        legacy.add_client(LAB, name="Lab", email="lab@example.com", client_token=SHOP_TOKEN)
        report = run()
        assert find_by_token(token=SHOP_TOKEN).public_id == LAB
        assert token_of(Client.objects.get(public_id=SHOP)) != SHOP_TOKEN
        assert notes(report, "clients")["another client has this token: a new one was made"] == 1
        assert SHOP_TOKEN not in report["text"]

    def test_tokens_that_differ_in_case_are_two(self, legacy, run):
        legacy.add_client()
        legacy.add_client(LAB, name="Lab", email="lab@example.com", client_token=SHOP_TOKEN.upper())
        run()
        assert find_by_token(token=SHOP_TOKEN.upper()).public_id == LAB

    def test_names_and_addresses_become_unique(self, legacy, run):
        legacy.add_client(email="Same@Example.com")
        legacy.add_client(LAB, name="SHOP", email="same@example.com", client_token=LAB_TOKEN)
        run()
        second = Client.objects.get(public_id=LAB)
        assert (second.name, second.email) == (f"SHOP ({LAB})", None)

    @pytest.mark.parametrize("flags", [{"is_active": 0}, {"status": "suspended"}])
    def test_an_inactive_one_stays_so(self, legacy, run, flags):
        legacy.add_client(**flags)
        run()
        assert not Client.objects.get().is_active

    def test_one_that_was_deleted_here_is_not_moved_again(self, legacy, run, admin_api):
        legacy.add_client()
        run()
        assert admin_api.delete(f"/api/admin/clients/{SHOP}").status_code == 200
        assert skipped(run(), "clients") == {"it was deleted here": 1}
        assert not Client.objects.exists()

    def test_a_client_that_was_made_here_keeps_its_token(self, legacy, run):
        here = ClientFactory(name="shop", token=SHOP_TOKEN)
        legacy.add_client()
        run()
        assert find_by_token(token=SHOP_TOKEN) == here
        assert Client.objects.get(public_id=SHOP).name == f"Shop ({SHOP})"


class TestAgents:
    def test_id_settings_and_primary_are_kept(self, legacy, run):
        legacy.add_small_fleet()
        config = {"min_savings_percent": 20, "risk_threshold": "0.45", "max_switches_per_week": 4}
        legacy.add("agent_configs", agent_id=WEB, **config)
        run()
        agent = Agent.objects.get()
        assert (agent.public_id, agent.logical_agent_id, agent.instance_id) == (WEB, "web", "i-0aaa")
        assert (agent.min_savings_percent, agent.risk_threshold) == (20, Decimal("0.45"))
        assert (agent.max_switches_per_week, agent.max_switches_per_day) == (4, 3)
        assert (agent.current_mode, agent.current_pool_id) == ("spot", "t3.medium.us-east-1a")
        assert agent.status == "offline"

    def test_settings_out_of_range_keep_their_default(self, legacy, run):
        legacy.add_small_fleet()
        legacy.add("agent_configs", agent_id=WEB, risk_threshold="7.00", max_switches_per_day=-1)
        report = run()
        agent = Agent.objects.get()
        assert (agent.risk_threshold, agent.max_switches_per_day) == (Decimal("0.30"), 3)
        assert notes(report, "agents")["risk_threshold is out of range: left at its default"] == 1

    def test_of_two_modes_that_exclude_each_other_the_chosen_one_stays(self, legacy, run):
        legacy.add_client()
        legacy.add_agent(auto_switch_enabled=1, manual_replica_enabled=1)
        run()
        agent = Agent.objects.get()
        assert (agent.auto_switch_enabled, agent.manual_replica_enabled) == (False, True)

    def test_two_of_one_logical_id_become_the_one_heard_last(self, legacy, run):
        legacy.add_small_fleet()
        legacy.add_agent(OTHER, last_heartbeat_at="2026-01-01", instance_id="i-0bbb")
        legacy.add_instance("i-0bbb", agent_id=OTHER)
        run()
        winner, loser = Agent.objects.get(public_id=WEB), Agent.objects.get(public_id=OTHER)
        assert (loser.merged_into, loser.status, winner.status) == (winner, "deleted", "offline")
        assert winner.instances.count() == 2
        assert winner.instances.filter(status="running_primary").count() == 1

    def test_a_deleted_one_stays_deleted(self, legacy, run):
        legacy.add_client()
        legacy.add_agent(status="deleted", terminated_at="2025-12-01")
        report = run()
        assert Agent.objects.get().status == "deleted"
        assert skipped(report, "instances of agents") == {"its agent was deleted": 1}

    def test_one_that_registered_here_before_takes_the_old_id(self, legacy, run):
        here = AgentFactory(client=ClientFactory(), logical_agent_id="web", instance_id="i-0aaa")
        Client.objects.update(public_id=SHOP)
        legacy.add_small_fleet()
        run()
        assert Agent.objects.get(public_id=WEB).merged_into == here

    def test_an_orphan_is_skipped(self, legacy, run):
        legacy.add_agent(client_id="nobody")
        legacy.add_client()
        assert skipped(run(), "agents") == {"its client is not there": 1}


class TestInstances:
    def test_the_newest_of_several_primaries_wins_and_the_rest_are_held_zombies(self, legacy, run):
        legacy.add_small_fleet()
        legacy.add_instance("i-0new", created_at="2025-06-01", installed_at="2025-06-01")
        legacy.add_instance("i-0mid", created_at="2025-04-01", installed_at="2025-04-01")
        report = run()
        found = dict(Instance.objects.values_list("instance_id", "status"))
        assert found == {"i-0aaa": "zombie", "i-0mid": "zombie", "i-0new": "running_primary"}
        assert Instance.objects.filter(status="zombie", termination_hold=True).count() == 2
        assert Agent.objects.get().instance_id == "i-0new"
        (note,) = [text for text in notes(report, "instances") if "one of several living primaries" in text]
        assert notes(report, "instances")[note] == 2

    def test_nothing_is_listed_for_termination_on_the_old_servers_word(self, legacy, run, traveller):
        legacy.add_small_fleet()
        legacy.add_instance("i-0zombie", instance_status="zombie", is_active=0, is_primary=0)
        legacy.add_instance("i-0ending", instance_status="terminating", is_active=0, is_primary=0)
        legacy.add_instance("i-0gone", is_active=0, is_primary=0)
        replica = {"agent_id": WEB, "replica_type": "manual", "created_at": "2025-05-05"}
        legacy.add("replica_instances", id="r1", instance_id="i-0standby", status="terminated", **replica)
        run()
        web = V4(SHOP_TOKEN, instance_id="i-0aaa")
        web.agent_id = WEB
        traveller.shift(3600)
        assert web.heartbeat().status_code == 200
        assert web.to_terminate()["instances"] == []

    def test_one_that_its_agent_calls_from_is_alive_whatever_the_flags_say(self, legacy, run):
        legacy.add_client()
        legacy.add_agent()
        legacy.add_instance(instance_status="terminated", is_active=0, terminated_at="2025-12-01")
        run()
        assert Instance.objects.get().status == "running_primary"

    def test_one_that_only_its_agent_knows_is_made_from_what_that_says(self, legacy, run):
        legacy.add_client()
        legacy.add_agent(private_ip="10.0.0.7")
        run()
        instance = Instance.objects.get()
        assert (instance.instance_id, instance.status, instance.private_ip) == ("i-0aaa", "running_primary", "10.0.0.7")
        assert instance.pool_id == "t3.medium.us-east-1a"

    def test_one_that_lacks_its_agent_gets_the_one_that_names_it(self, legacy, run):
        legacy.add_client()
        legacy.add_agent()
        legacy.add_instance(agent_id=None, instance_status="running_replica")
        run()
        assert Agent.objects.get().instances.get().status == "running_primary"

    def test_one_of_another_client_than_its_agents_is_not_the_agents(self, legacy, run):
        legacy.add_small_fleet()
        legacy.add_client(LAB, name="Lab", email="lab@example.com", client_token=LAB_TOKEN)
        legacy.add_instance("i-0bbb", client_id=LAB)
        run()
        assert Instance.objects.get(instance_id="i-0bbb").agent is None

    def test_usage_counts_from_the_import_and_only_once_the_instance_is_heard(self, legacy, run, traveller):
        legacy.add_client()
        legacy.add_agent(last_heartbeat_at="2026-01-05 09:00:00")
        run()
        assert UsageInterval.objects.get().started_at == datetime(2026, 1, 5, 12, tzinfo=UTC)
        traveller.shift(3600)
        roll_up()
        assert not UsageLedger.objects.exists()
        web = V4(SHOP_TOKEN, instance_id="i-0aaa")
        web.agent_id = WEB
        web.heartbeat()
        roll_up()
        assert sum(row.seconds for row in UsageLedger.objects.all()) == 3600

    def test_an_agent_that_has_a_primary_here_keeps_it(self, legacy, run):
        legacy.add_small_fleet()
        run("--only-prices")
        client = ClientFactory()
        Client.objects.update(public_id=SHOP)
        AgentFactory(client=client, logical_agent_id="web", instance_id="i-0live")
        run()
        found = dict(Instance.objects.values_list("instance_id", "status"))
        assert found == {"i-0live": "running_primary", "i-0aaa": "zombie"}


class TestReplicas:
    def replica(self, legacy, replica_id="r1", **changes):
        known = {"agent_id": WEB, "replica_type": "manual", "status": "ready", "created_at": "2026-01-01"}
        known |= {"instance_id": "i-0standby", "pool_id": "t3.medium.us-east-1b", "region": "us-east-1"}
        legacy.add("replica_instances", id=replica_id, **known | changes)

    @pytest.mark.parametrize("placeholder", ["replica-1a2b", "manual-1a2b", "emergency-1a2b"])
    def test_a_placeholder_is_unbound_and_closed(self, legacy, run, placeholder):
        legacy.add_small_fleet()
        self.replica(legacy, instance_id=placeholder)
        run()
        replica = Replica.objects.get()
        assert (replica.instance_id, replica.is_active, replica.termination_confirmed) == ("", False, True)

    def test_a_living_one_is_bound_to_its_instance(self, legacy, run):
        legacy.add_small_fleet()
        self.replica(legacy)
        run()
        assert Replica.objects.get().status == "ready"
        standby = Instance.objects.get(instance_id="i-0standby")
        assert (standby.status, standby.pool_id, standby.agent.public_id) == (
            "running_replica",
            "t3.medium.us-east-1b",
            WEB,
        )

    def test_one_whose_instance_became_the_primary_was_promoted(self, legacy, run):
        legacy.add_small_fleet()
        self.replica(legacy, instance_id="i-0aaa")
        run()
        assert Replica.objects.get().status == "promoted"

    def test_one_whose_instance_is_gone_is_closed(self, legacy, run):
        legacy.add_small_fleet()
        legacy.add_instance("i-0standby", instance_status="terminated", terminated_at="2026-01-02", is_active=0)
        self.replica(legacy)
        run()
        assert Replica.objects.get().status == "terminated"

    def test_one_with_an_id_nobody_can_keep_is_skipped(self, legacy, run):
        legacy.add_small_fleet()
        self.replica(legacy, "r" * 200)
        assert skipped(run(), "replica_instances") == {"id is longer than 64 characters": 1}


class TestHistory:
    def test_a_switch_that_was_booked_twice_is_one(self, legacy, run):
        legacy.add_small_fleet()
        legacy.add_switch("s1", downtime_seconds=0)
        legacy.add_switch("s2", timestamp="2026-01-03 10:05:00")
        report = run()
        switch = Switch.objects.get()
        assert (switch.trigger, switch.savings_impact, switch.downtime_seconds) == ("manual", Decimal("0.0288"), None)
        assert skipped(report, "switches") == {"the same one was there before": 1}
        assert SwitchTally.objects.get().manual == 1

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"timestamp": None, "created_at": None}, "no time"),
            ({"old_instance_id": None}, "it does not say from which instance to which"),
            ({"agent_id": "nobody"}, "its agent is not there"),
            ({"client_id": LAB}, "its client is not there"),
        ],
    )
    def test_a_switch_that_says_too_little_is_skipped(self, legacy, run, changes, reason):
        legacy.add_small_fleet()
        legacy.add_switch("s1", **changes)
        assert skipped(run(), "switches") == {reason: 1}

    def test_an_unknown_saving_stays_unknown(self, legacy, run):
        legacy.add_small_fleet()
        legacy.add_switch("s1", savings_impact=None, success=None, event_trigger="cosmic")
        run()
        switch = Switch.objects.get()
        assert (switch.savings_impact, switch.trigger, switch.success) == (None, "unknown", True)

    def test_notifications_are_not_sent_again(self, legacy, run):
        WebhookEndpointFactory(created_at=datetime(2020, 1, 1, tzinfo=UTC))
        legacy.add_client()
        legacy.add("notifications", id="n1", client_id=SHOP, message="Read 🚀", is_read=1, created_at="2026-01-02")
        legacy.add("notifications", id="n2", client_id=SHOP, message="New", title="Hi", created_at="2026-01-03")
        legacy.add("notifications", id="n3", client_id=SHOP, message="Old", is_read=1, created_at="2025-10-01")
        report = run()
        outbox.forward()
        assert not Delivery.objects.exists()
        found = Notification.objects.order_by("created_at").values_list("public_id", "message", "read_at")
        assert [(i, m, at is not None) for i, m, at in found] == [("n1", "Read 🚀", True), ("n2", "New", False)]
        assert skipped(report, "notifications") == {"older than its retention here": 1}

    def test_events_keep_what_they_tell_and_lose_tokens(self, legacy, run):
        legacy.add_small_fleet()
        token = "token-" + "ab" * 32
        event = {"event_type": "agent_registered", "created_at": "2026-01-04 10:00:00", "agent_id": WEB}
        legacy.add("system_events", id=1, client_id=SHOP, message=f"with {token}", metadata='{"a": 1}', **event)
        legacy.add("system_events", id=2, client_id="gone", message="x", metadata="{broken", **event)
        legacy.add("system_events", id=3, event_type="zero", message="x", created_at="0000-00-00 00:00:00")
        report = run()
        first, second = SystemEvent.objects.filter(event_type="agent_registered").order_by("id")
        assert (first.client.public_id, first.message, first.metadata["a"]) == (SHOP, "with [secret]", 1)
        assert (second.client, second.metadata) == (None, {"legacy_id": 2, "client_id": "gone"})
        assert skipped(report, "system_events") == {"no time": 1}

    def test_model_sessions_are_archived_and_no_choice_for_a_fallback(self, legacy, run):
        legacy.add_client()
        session = {"id": "m1", "is_live": 1, "file_names": '["risk.pkl"]', "total_size_bytes": 5, "uploaded_by": "ops"}
        legacy.add("model_upload_sessions", created_at="2025-05-05", activated_at="2025-05-06", **session)
        run()
        found = ModelSession.objects.get()
        assert (found.status, found.metadata["legacy"]["file_names"]) == ("archived", ["risk.pkl"])
        assert found.rolled_back_at is not None

    def test_reported_savings_are_archived_and_never_in_the_ledger(self, legacy, run):
        legacy.add_client(total_savings="1234.5")
        legacy.add("client_savings_monthly", id=1, client_id=SHOP, year=2025, month=3, savings="-7.25")
        run()
        assert dict(ArchivedSavings.objects.values_list("period", "savings_usd")) == {
            "total": Decimal("1234.5"),
            "2025-03": Decimal("-7.25"),
        }
        assert not UsageLedger.objects.exists()


class TestRuns:
    @pytest.fixture
    def filled(self, legacy):
        legacy.add_small_fleet()
        for n in range(30):
            legacy.add_agent(f"b{n:07}-0000-4000-8000-000000000000", logical_agent_id=f"n{n}", instance_id=f"i-{n:08}")
            legacy.add_switch(f"s{n}", old_instance_id=f"i-{n:04}")
            note = {"client_id": SHOP, "message": f"m{n}", "created_at": "2026-01-04 10:00:00"}
            legacy.add("notifications", id=f"n{n}", **note)
            legacy.add("system_events", id=n, event_type="e", **note)
        hours = [f"2026-01-0{1 + n // 24} {n % 24:02}:00:00" for n in range(72)]
        for zone in "abc":
            legacy.add_prices(f"t3.medium.us-east-1{zone}", [(at, f"0.01{n % 5}") for n, at in enumerate(hours)])
        return legacy

    def test_a_second_run_changes_nothing(self, filled, run):
        first = run()
        before = everything()
        second = run()
        assert everything() == before
        assert second["moved"] == 0
        for label, counts in first["tables"].items():
            again = second["tables"][label]
            assert again["already"] == counts["moved"], label
            assert again["read"] == counts["read"] == counts["moved"] + sum(skipped(first, label).values())

    def test_an_interrupted_run_goes_on_where_it_was(self, filled, run, monkeypatch):
        monkeypatch.setattr(tables, "BATCH", 10)
        monkeypatch.setattr(events, "BATCH", 10)
        run_interrupted = 0
        for batches in range(2, 60, 3):
            monkeypatch.setattr(import_legacy.Command, "_say", interrupt_after(batches))
            try:
                run()
            except KeyboardInterrupt:
                run_interrupted += 1
        assert run_interrupted > 5
        assert Agent.objects.count() == UsageInterval.objects.count() == 31
        assert (Switch.objects.count(), Notification.objects.count()) == (30, 30)
        assert SystemEvent.objects.filter(event_type="e").count() == 30
        assert SwitchTally.objects.get().manual == 30
        assert run("--check")["differences"] == 0

    def test_a_rehearsal_says_the_same_and_changes_nothing(self, filled, run):
        before = everything()
        rehearsed = run("--dry-run")
        assert everything() == before
        assert rehearsed["tables"] == run()["tables"]

    def test_later_rows_follow_with_the_next_run(self, filled, run):
        run()
        filled.add("system_events", id=99, event_type="late", message="x", created_at="2026-01-05 11:00:00")
        filled.add_prices("t3.medium.us-east-1a", [("2026-01-05 11:00:00", "0.05")])
        report = run()
        assert report["tables"]["system_events"]["moved"] == 1
        assert report["tables"]["spot_price_snapshots"]["moved"] == 1
        assert run("--check")["differences"] == 0

    def test_the_old_database_is_not_written(self, filled, run):
        before = filled.execute("CHECKSUM TABLE clients, agents, instances, switches, system_events")
        run()
        assert filled.execute("CHECKSUM TABLE clients, agents, instances, switches, system_events") == before

    def test_tables_and_columns_that_are_missing_are_reported(self, legacy, run):
        legacy.add_small_fleet()
        legacy.execute("DROP TABLE switches")
        legacy.execute("ALTER TABLE agents DROP COLUMN last_cleanup_at")
        report = run()
        assert {"switches", "agents.last_cleanup_at"} <= set(report["missing"])
        assert Agent.objects.get().public_id == WEB


class TestCheck:
    def test_it_agrees_after_an_import(self, legacy, run):
        legacy.add_small_fleet()
        run()
        assert "Both sides agree" in run("--check")["text"]

    @pytest.mark.parametrize(
        ("spoil", "text"),
        [
            (lambda: Agent.objects.update(min_savings_percent=99), "min_savings_percent differs"),
            (lambda: Instance.objects.all().delete(), "not here"),
            (lambda: Client.objects.update(token_hash="x"), "token differs"),
            (lambda: SystemEvent.objects.filter(event_type="e").delete(), "e: 1 there, 0 here"),
        ],
    )
    def test_it_fails_on_a_difference(self, legacy, run, spoil, text, capsys):
        legacy.add_small_fleet()
        legacy.add("system_events", id=1, event_type="e", message="x", created_at="2026-01-04 10:00:00")
        run()
        spoil()
        with pytest.raises(CommandError, match="1 difference"):
            call_command("import_legacy", "--check")
        assert text in capsys.readouterr().out

    def test_it_fails_before_the_import(self, legacy):
        legacy.add_small_fleet()
        with pytest.raises(CommandError, match="differences"):
            call_command("import_legacy", "--check")
        assert not Client.objects.exists()


class TestConnection:
    def test_no_password_is_ever_said(self, legacy, monkeypatch):
        monkeypatch.setenv("LEGACY_DATABASE_URL", f"mysql://nobody:s3cret-word@{legacy.host}:{legacy.port}/x")
        with pytest.raises(CommandError, match="Cannot read nobody@") as refusal:
            call_command("import_legacy")
        assert "s3cret-word" not in str(refusal.value)

    def test_the_servers_own_database_is_refused(self, legacy):
        legacy.execute("CREATE TABLE django_migrations (id int)")
        with pytest.raises(CommandError, match="a database of this server"):
            call_command("import_legacy")

    def test_a_strange_database_is_refused(self, legacy):
        legacy.execute("DROP TABLE clients")
        with pytest.raises(CommandError, match="no table clients"):
            call_command("import_legacy")

    def test_without_an_address_it_says_how_to_give_one(self, monkeypatch):
        monkeypatch.delenv("LEGACY_DATABASE_URL", raising=False)
        with pytest.raises(CommandError, match="Set LEGACY_DATABASE_URL"):
            call_command("import_legacy")

    def test_parts_of_the_address_can_be_options(self, legacy, run, monkeypatch):
        legacy.add_client()
        monkeypatch.delenv("LEGACY_DATABASE_URL")
        monkeypatch.setenv("LEGACY_DATABASE_PASSWORD", legacy.password)
        options = {"host": legacy.host, "port": legacy.port, "user": legacy.user, "database": legacy.name}
        run(*(f"--{name}={value}" for name, value in options.items()))
        assert Client.objects.get().public_id == SHOP

    def test_the_session_refuses_to_write(self, legacy):
        with Source(find_address({})) as source, pytest.raises(SourceError, match="READ ONLY"):
            list(source.query("DELETE FROM clients"))


def interrupt_after(batches):
    said = []

    def say(self, *args):
        said.append(args)
        if len(said) == batches:
            raise KeyboardInterrupt

    return say
