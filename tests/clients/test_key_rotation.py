"""Both token keys can be exchanged while agents work."""

from io import StringIO

import pytest
from django.core.management import call_command

from clients.models import Client
from spotopt.common import crypto
from tests.conftest import JsonClient
from tests.factories import ClientFactory, token_of

pytestmark = pytest.mark.django_db


def rotate(*options):
    out, err = StringIO(), StringIO()
    call_command("rotate_keys", *options, stdout=out, stderr=err)
    return out.getvalue() + err.getvalue()


def works(token):
    return JsonClient().bearer(token).get("/api/client/validate").status_code == 200


@pytest.fixture
def tokens(settings):
    settings.TOKEN_PEPPERS, settings.TOKEN_ENCRYPTION_KEYS = ["old pepper"], ["old key"]
    return [token_of(client) for client in ClientFactory.create_batch(3)]


def test_no_agent_is_locked_out_at_any_step(tokens, settings):
    settings.TOKEN_PEPPERS, settings.TOKEN_ENCRYPTION_KEYS = ["new pepper", "old pepper"], ["new key", "old key"]
    assert all(works(token) for token in tokens)
    assert "3 tokens rewritten" in rotate()
    assert all(works(token) for token in tokens)
    settings.TOKEN_PEPPERS, settings.TOKEN_ENCRYPTION_KEYS = ["new pepper"], ["new key"]
    assert all(works(token) for token in tokens)
    assert [token_of(client) for client in Client.objects.order_by("pk")] == tokens


@pytest.mark.parametrize("setting", ["TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS"])
def test_each_key_can_be_rotated_alone(tokens, settings, setting):
    setattr(settings, setting, ["new", *getattr(settings, setting)])
    assert "3 tokens rewritten, 0 were current" in rotate()
    setattr(settings, setting, ["new"])
    assert all(works(token) for token in tokens)


def test_a_second_run_has_nothing_to_do(tokens, settings):
    settings.TOKEN_PEPPERS = ["new pepper", "old pepper"]
    rotate()
    assert "0 tokens rewritten, 3 were current" in rotate()


def test_a_dry_run_changes_nothing(tokens, settings):
    settings.TOKEN_PEPPERS = ["new pepper", "old pepper"]
    before = list(Client.objects.values("token_hash", "token_encrypted"))
    assert "3 tokens would be rewritten" in rotate("--dry-run")
    assert list(Client.objects.values("token_hash", "token_encrypted")) == before


def test_what_cannot_be_read_is_named_and_left_alone(tokens, settings):
    settings.TOKEN_ENCRYPTION_KEYS = ["unrelated key"]
    ClientFactory(name="Fresh")
    settings.TOKEN_PEPPERS = ["new pepper", "old pepper"]
    report = rotate()
    assert "1 tokens rewritten" in report
    assert "3 cannot be decrypted" in report
    assert "Fresh" not in report
    assert all(works(token) for token in tokens)


def test_a_token_made_during_the_rotation_is_not_overwritten(tokens, settings, monkeypatch):
    settings.TOKEN_PEPPERS = ["new pepper", "old pepper"]
    client = Client.objects.order_by("pk").first()
    decrypt = crypto.decrypt

    def decrypt_while_somebody_regenerates(text):
        found = decrypt(text)
        Client.objects.filter(pk=client.pk, token_encrypted=text).update(token_hash="made meanwhile")
        return found

    monkeypatch.setattr(crypto, "decrypt", decrypt_while_somebody_regenerates)
    rotate()
    client.refresh_from_db()
    assert client.token_hash == "made meanwhile"
