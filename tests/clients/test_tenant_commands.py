"""`export_client` and `delete_client`: all of one tenant, and nothing of another."""

import json
import stat
import zipfile
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from agents.models import Agent
from clients.models import Client
from clients.ownership import rows_of
from tests.factories import (
    AgentFactory,
    ClientFactory,
    NotificationFactory,
    SwitchFactory,
    SystemEventFactory,
    UsageIntervalFactory,
    WebhookEndpointFactory,
    token_of,
)

pytestmark = pytest.mark.django_db

SECRET = "whsec_very-secret"


@pytest.fixture
def shop():
    client = ClientFactory(name="Shop")
    agent = AgentFactory(client=client, logical_agent_id="web-🚀")
    UsageIntervalFactory(instance=agent.instances.get())
    SwitchFactory(agent=agent)
    SystemEventFactory(client=client)
    NotificationFactory(client=client)
    WebhookEndpointFactory(client=client, secret=SECRET)
    return client


@pytest.fixture
def stranger():
    return AgentFactory(logical_agent_id="not yours").client


def export(client, target):
    call_command("export_client", client.public_id, "--out", str(target), stdout=StringIO())
    with zipfile.ZipFile(target) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


class TestExport:
    def test_every_table_of_the_tenant_is_a_file_of_json_lines(self, shop, tmp_path):
        files = export(shop, tmp_path / "shop.zip")
        (agent,) = lines(files["agents.jsonl"])
        assert (agent["logical_agent_id"], agent["min_savings_percent"]) == ("web-🚀", "15.00")
        for name in ("clients", "instances", "switches", "usage_intervals", "system_events", "notifications"):
            assert len(lines(files[f"{name}.jsonl"])) == 1, name
        assert json.loads(files["manifest.json"])["rows"]["switches"] == 1

    def test_nothing_of_another_tenant_is_in_it(self, shop, stranger, tmp_path):
        text = "".join(export(shop, tmp_path / "shop.zip").values())
        assert "not yours" not in text
        assert stranger.public_id not in text

    def test_no_secret_is_in_it(self, shop, tmp_path):
        text = "".join(export(shop, tmp_path / "shop.zip").values())
        stored = shop.token_hash, shop.token_encrypted, token_of(shop), SECRET, "path-secret"
        assert [secret for secret in stored if secret in text] == []
        assert "secret_encrypted" not in text

    def test_many_rows_come_in_batches(self, shop, tmp_path, monkeypatch):
        monkeypatch.setattr("clients.export.BATCH", 3)
        for _ in range(10):
            SystemEventFactory(client=shop)
        rows = lines(export(shop, tmp_path / "shop.zip")["system_events.jsonl"])
        assert len({row["id"] for row in rows}) == 11

    def test_only_its_owner_may_read_the_file(self, shop, tmp_path):
        export(shop, tmp_path / "shop.zip")
        assert stat.S_IMODE((tmp_path / "shop.zip").stat().st_mode) == 0o600

    def test_an_existing_file_is_not_overwritten(self, shop, tmp_path):
        (tmp_path / "shop.zip").write_text("precious")
        with pytest.raises(CommandError, match="exists already"):
            export(shop, tmp_path / "shop.zip")

    def test_a_broken_export_leaves_no_file(self, shop, tmp_path, monkeypatch):
        monkeypatch.setattr("clients.export.rows_of", lambda client: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export(shop, tmp_path / "shop.zip")
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_client_is_refused(self, tmp_path):
        with pytest.raises(CommandError, match="There is no client nobody"):
            call_command("export_client", "nobody", "--out", str(tmp_path / "x.zip"))


class TestDeletion:
    def delete(self, client, *options):
        out = StringIO()
        call_command("delete_client", client.public_id, *options, stdout=out)
        return out.getvalue()

    def test_everything_goes_but_other_tenants(self, shop, stranger):
        said = self.delete(shop, "--yes")
        assert "Client Shop was deleted with" in said
        assert list(Client.objects.all()) == [stranger]
        assert Agent.objects.get().client == stranger
        assert sum(rows.count() for rows in rows_of(shop)) == 0

    def test_a_rehearsal_counts_and_changes_nothing(self, shop):
        before = {m: m._default_manager.count() for m in apps.get_models()}
        said = self.delete(shop, "--dry-run")
        assert "1 agents" in said
        assert {m: m._default_manager.count() for m in apps.get_models()} == before

    @pytest.mark.parametrize("said", ["", "shop", "yes"])
    def test_without_the_name_nothing_happens(self, shop, monkeypatch, said):
        monkeypatch.setattr("builtins.input", lambda prompt: said)
        with pytest.raises(CommandError, match="Nothing was deleted"):
            self.delete(shop)
        assert Client.objects.filter(pk=shop.pk).exists()

    def test_the_name_confirms(self, shop, monkeypatch):
        monkeypatch.setattr("builtins.input", lambda prompt: "Shop")
        self.delete(shop)
        assert not Client.objects.exists()

    def test_a_script_without_a_terminal_is_told_of_yes(self, shop, monkeypatch):
        def no_terminal(prompt):
            raise EOFError

        monkeypatch.setattr("builtins.input", no_terminal)
        with pytest.raises(CommandError, match="Scripts use --yes"):
            self.delete(shop)
