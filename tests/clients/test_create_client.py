from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from clients.models import Client
from tests.conftest import JsonClient
from tests.factories import ClientFactory, token_of

pytestmark = pytest.mark.django_db


def create(*arguments):
    out = StringIO()
    call_command("create_client", *arguments, stdout=out)
    return out.getvalue()


def test_a_script_gets_the_token_and_nothing_else():
    token = create("Web", "--token-only").strip()
    assert JsonClient().bearer(token).get("/api/client/validate").json()["name"] == "Web"


def test_a_person_is_told_the_name_the_id_and_the_token():
    said = create("Web", "--email", "web@example.com")
    client = Client.objects.get(email="web@example.com")
    assert all(text in said for text in ("Web", client.public_id, token_of(client)))


def test_a_taken_name_is_refused_in_words():
    ClientFactory(name="Web")
    with pytest.raises(CommandError, match="name exists already"):
        create("web")


def test_a_bad_address_is_refused_in_words():
    with pytest.raises(CommandError, match=r"email: .*valid email"):
        create("Web", "--email", "nobody")
