import json

import pytest
from django.core.management import CommandError, call_command

from analytics.models import UsageLedger
from tests.factories import ClientFactory


@pytest.fixture
def fleet(world):
    """Two hours of a primary on spot, and one of a standby (the second check value of dashboard-api 5.3)."""
    primary = world.instance()
    standby = world.instance("running_replica", az="b", agent=primary.agent)
    world.become(standby, "terminated", at=1)
    world.go_to(2)
    primary.client.name = "Shop"
    primary.client.save()
    return primary.client


def show(capsys, *arguments):
    call_command("show_ledger", *arguments)
    return capsys.readouterr().out


def test_a_clients_account(fleet, capsys):
    account = json.loads(show(capsys, "--json", "--client", fleet.public_id))
    zombie = account["by_role"].pop("zombie")
    assert account == {
        "client_id": fleet.public_id,
        "name": "Shop",
        "baseline_usd": pytest.approx(0.0832),
        "paid_usd": pytest.approx(0.0392),
        "savings_usd": pytest.approx(0.0440),
        "seconds": 10800,
        "priced_seconds": 10800,
        "by_role": {
            "primary": {
                "baseline_usd": pytest.approx(0.0832),
                "paid_usd": pytest.approx(0.0264),
                "savings_usd": pytest.approx(0.0568),
                "seconds": 7200,
                "priced_seconds": 7200,
            },
            "replica": {
                "baseline_usd": 0,
                "paid_usd": pytest.approx(0.0128),
                "savings_usd": pytest.approx(-0.0128),
                "seconds": 3600,
                "priced_seconds": 3600,
            },
        },
    }
    assert set(zombie.values()) == {0}


def test_all_clients_those_without_instances_too(fleet, capsys):
    ClientFactory(name="Empty")
    accounts = json.loads(show(capsys, "--json"))
    assert [(a["name"], a["seconds"]) for a in accounts] == [("Empty", 0), ("Shop", 10800)]


def test_a_period(fleet, capsys):
    account = json.loads(show(capsys, "--json", "--client", fleet.public_id, "--since", "2026-01-05T13:00:00Z"))
    assert account["savings_usd"] == pytest.approx(0.0284)


def test_a_table_for_people(fleet, capsys):
    heading, client, primary, replica = show(capsys).splitlines()
    assert heading.split() == ["baseline", "$", "paid", "$", "savings", "$", "hours", "priced", "h"]
    assert client.split() == ["Shop", "0.0832", "0.0392", "0.0440", "3.00", "3.00"]
    assert (primary.split()[0], replica.split()[0]) == ("primary", "replica")


def test_what_is_not_priced_is_unknown_to_people(world, capsys):
    world.instance(instance_type="x9.huge")
    world.go_to(1)
    assert show(capsys).splitlines()[1].split()[2:] == ["unknown", "unknown", "unknown", "1.00", "0.00"]


def test_without_a_roll_up_it_only_looks(fleet, capsys):
    show(capsys, "--no-roll-up")
    assert not UsageLedger.objects.exists()


@pytest.mark.parametrize("arguments", [["--client", "nobody"], ["--since", "yesterday"]])
def test_what_does_not_exist_is_said(db, arguments):
    with pytest.raises(CommandError):
        call_command("show_ledger", *arguments)
