"""Import of data that no constraint ever looked at."""

import pytest
from django.apps import apps

from agents.models import Agent
from clients.models import Client
from instances.models import Instance, Replica, SpotPriceHistory, UsageInterval
from spotopt.common import crypto
from tests.dialects import V4
from tests.legacy.ugly import Ugly

pytestmark = [pytest.mark.mysql, pytest.mark.django_db]


def row_counts():
    return {m._meta.label: m._default_manager.count() for m in apps.get_models()}


def assert_counts_agree(legacy, report):
    tables = report["tables"]
    for label, counts in tables.items():
        skipped = sum(reason["count"] for reason in counts["skipped"].values())
        assert counts["read"] == counts["moved"] + counts["already"] + skipped, label
    for table in ("clients", "agents", "instances", "replica_instances", "switches", "notifications", "system_events"):
        ((there,),) = legacy.execute(f"SELECT COUNT(*) FROM {table}")
        assert tables[table]["read"] == there
    ((there,),) = legacy.execute("SELECT COUNT(*) FROM spot_price_snapshots")
    assert tables["spot_price_snapshots"]["read"] == there


@pytest.mark.parametrize("seed", range(4))
def test_counts_agree_and_a_second_run_changes_nothing(legacy, run, seed):
    Ugly(legacy, seed).fill(prices=1200)
    report = run()
    assert_counts_agree(legacy, report)
    before = row_counts()
    again = run()
    assert_counts_agree(legacy, again)
    assert (row_counts(), again["moved"]) == (before, 0)
    assert run("--check")["differences"] == 0


def test_what_the_server_relies_on_holds_afterwards(legacy, run):
    Ugly(legacy).fill(prices=600)
    run()
    for agent in Agent.objects.exclude(instance_id=""):
        primary = agent.instances.get(status="running_primary")
        assert (primary.instance_id, primary.mode, primary.pool_id) == (
            agent.instance_id,
            agent.current_mode,
            agent.current_pool_id,
        )
    assert not Instance.objects.filter(status__in=["zombie", "terminating"], termination_hold=False).exists()
    unconfirmed = Instance.objects.filter(status="terminated", termination_confirmed=False)
    assert not unconfirmed.filter(termination_hold=False).exists()
    assert not Replica.objects.exclude(status__in=Replica.ACTIVE).filter(termination_confirmed=False).exists()
    living = Instance.objects.exclude(status="terminated")
    assert UsageInterval.objects.filter(ended_at=None).count() == living.count()
    for client in Client.objects.all():
        assert crypto.decrypt(client.token_encrypted).strip()


def test_every_agent_that_lived_there_is_heard_here(legacy, run):
    Ugly(legacy).fill(prices=60)
    run()
    heard = 0
    for old_id, token in legacy.execute(
        "SELECT DISTINCT a.id, TRIM(c.client_token) FROM agents a JOIN clients c ON c.id = a.client_id"
        " WHERE COALESCE(a.status, '') <> 'deleted' AND COALESCE(c.is_active, 1) = 1"
        " AND COALESCE(c.status, 'active') = 'active' AND c.client_token NOT IN ('', 'token-shared')"
    ):
        web = V4(token, instance_id="i-0123456789")
        web.agent_id = old_id
        assert web.heartbeat().status_code == 200
        heard += 1
    assert heard > 5


@pytest.mark.slow
def test_a_hundred_thousand_prices_become_their_change_points(legacy, run):
    Ugly(legacy).fill(prices=100_000)
    report = run()
    assert_counts_agree(legacy, report)
    moved = report["tables"]["spot_price_snapshots"]["moved"]
    assert moved > 60_000
    assert 0 < SpotPriceHistory.objects.count() < moved / 4
    assert run()["moved"] == 0
    assert run("--check")["differences"] == 0
