import pytest
from django.db import IntegrityError, transaction

from notifications.models import Notification, SystemEvent
from notifications.services import emit, notify
from tests.factories import ClientFactory

pytestmark = pytest.mark.django_db


def test_an_event_is_there_exactly_when_the_change_it_tells_of_is():
    with transaction.atomic():
        emit(event_type="agent_offline", message="Silent")
        transaction.set_rollback(True)
    assert not SystemEvent.objects.exists()


def test_an_event_keeps_whom_and_what_it_is_about():
    client = ClientFactory()
    event = emit(
        event_type="switch",
        message="Moved",
        client=client,
        agent_id="a",
        instance_id="i",
        actor="eve",
        metadata={"n": 1},
    )
    event.refresh_from_db()
    assert (event.client, event.agent_id, event.instance_id, event.actor) == (client, "a", "i", "eve")
    assert (event.severity, event.metadata) == ("info", {"n": 1})


def test_a_long_user_name_is_cut_rather_than_losing_the_event():
    assert emit(event_type="x", message="x", actor="o" * 150).actor == "o" * 64


def test_an_unknown_severity_is_refused_by_the_database():
    with pytest.raises(IntegrityError), transaction.atomic():
        emit(event_type="x", message="x", severity="loud")


def test_a_message_without_a_client_is_for_everyone_and_unread():
    message = notify(client=None, message="Maintenance tonight", notification_type="maintenance")
    assert (Notification.objects.get(client=None), message.read_at) == (message, None)
