"""GET /api/admin/activity (dashboard-api 2.2)."""

from datetime import UTC, datetime

import pytest

from notifications.selectors.activity import kind_of
from notifications.services import emit, notify
from tests.factories import ClientFactory, SystemEventFactory

pytestmark = pytest.mark.django_db

ACTIVITY = "/api/admin/activity"


def test_an_event_looks_as_the_contract_says(admin_api):
    event = SystemEventFactory(
        event_type="switch_completed",
        severity="critical",
        message="web-1 moved",
        agent_id="a1",
        created_at=datetime(2026, 1, 5, 10, tzinfo=UTC),
    )
    assert admin_api.get(ACTIVITY).json() == [
        {
            "id": str(event.pk),
            "type": "switch",
            "text": "web-1 moved",
            "time": "2026-01-05T10:00:00Z",
            "severity": "error",
            "eventType": "switch_completed",
            "clientId": event.client.public_id,
            "agentId": "a1",
            "instanceId": None,
        }
    ]


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [
        ("manual_switch_requested", "switch"),
        ("replica_promoted", "switch"),
        ("failover_completed", "switch"),
        ("agent_registered", "agent"),
        ("instance_terminated", "event"),
    ],
)
def test_the_kind_follows_the_name(event_type, kind):
    assert kind_of(event_type) == kind


def test_errors_are_not_hidden_and_the_newest_comes_first(admin_api):
    for severity in ("info", "warning", "error"):
        emit(event_type="x", message=severity, severity=severity)
    assert [row["text"] for row in admin_api.get(ACTIVITY).json()] == ["error", "warning", "info"]


def test_a_message_in_the_inbox_is_not_listed_a_second_time(admin_api):
    notify(client=ClientFactory(), message="Agent is offline", notification_type="agent_offline")
    assert admin_api.get(ACTIVITY).json() == []


@pytest.mark.parametrize(("limit", "rows"), [(None, 50), ("2", 2), ("0", 1), ("1000", 200), ("x", 50)])
def test_the_limit_is_clamped(admin_api, limit, rows):
    SystemEventFactory.create_batch(201, client=None)
    assert len(admin_api.get(ACTIVITY, {} if limit is None else {"limit": limit}).json()) == rows


@pytest.mark.parametrize("rows", [1, 60])
def test_the_list_costs_one_statement(admin_api, django_assert_num_queries, rows):
    SystemEventFactory.create_batch(rows)
    with django_assert_num_queries(1):
        assert len(admin_api.get(ACTIVITY, {"limit": 100}).json()) == rows
