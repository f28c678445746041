"""GET /api/notifications, mark-read, mark-all-read (dashboard-api 2.7)."""

from datetime import UTC, datetime

import pytest

from notifications.models import Notification
from tests.factories import ClientFactory, NotificationFactory

pytestmark = pytest.mark.django_db

LIST = "/api/notifications"


def ids(response):
    return [item["id"] for item in response.json()]


def unread():
    return set(Notification.objects.filter(read_at=None).values_list("message", flat=True))


def test_a_message_looks_as_the_contract_says(tenant, tenant_api):
    message = NotificationFactory(
        client=tenant,
        severity="warning",
        notification_type="agent_offline",
        message="Agent web-1 is offline",
        metadata={"command_id": "c1"},
        created_at=datetime(2026, 1, 5, 10, tzinfo=UTC),
    )
    assert tenant_api.get(LIST).json() == [
        {
            "id": message.public_id,
            "message": "Agent web-1 is offline",
            "severity": "warning",
            "isRead": False,
            "time": "2026-01-05T10:00:00Z",
            "clientId": tenant.public_id,
            "type": "agent_offline",
            "read": False,
            "timestamp": "2026-01-05T10:00:00Z",
            "metadata": {"command_id": "c1"},
        }
    ]


def test_critical_is_shown_as_error(tenant, tenant_api):
    NotificationFactory(client=tenant, severity="critical")
    assert tenant_api.get(LIST).json()[0]["severity"] == "error"


def test_an_empty_inbox_is_an_empty_array(tenant_api, admin_api):
    assert tenant_api.get(LIST).json() == admin_api.get(LIST).json() == []


def test_a_client_sees_its_own_and_messages_to_everyone_newest_first(tenant, tenant_api):
    own = NotificationFactory(client=tenant)
    NotificationFactory()
    to_all = NotificationFactory(client=None)
    newest = NotificationFactory(client=tenant)
    assert ids(tenant_api.get(LIST)) == [newest.public_id, to_all.public_id, own.public_id]


def test_the_operator_sees_all_or_one_clients(tenant, admin_api):
    own, foreign = NotificationFactory(client=tenant), NotificationFactory()
    assert ids(admin_api.get(LIST)) == [foreign.public_id, own.public_id]
    assert ids(admin_api.get(LIST, {"client_id": "all"})) == [foreign.public_id, own.public_id]
    assert ids(admin_api.get(LIST, {"client_id": tenant.public_id})) == [own.public_id]
    assert admin_api.get(LIST, {"client_id": "nobody"}).status_code == 404


def test_another_clients_id_is_refused(tenant_api):
    assert tenant_api.get(LIST, {"client_id": ClientFactory().public_id}).status_code == 403


@pytest.mark.parametrize(("limit", "rows"), [(None, 10), ("3", 3), ("0", 1), ("-5", 1), ("9999", 100), ("many", 10)])
def test_the_limit_is_clamped(tenant, tenant_api, limit, rows):
    NotificationFactory.create_batch(101, client=tenant)
    assert len(tenant_api.get(LIST, {} if limit is None else {"limit": limit}).json()) == rows


def test_only_unread_ones_when_asked(tenant, tenant_api):
    read, fresh = NotificationFactory.create_batch(2, client=tenant)
    tenant_api.post(f"{LIST}/{read.public_id}/mark-read")
    assert ids(tenant_api.get(LIST, {"unread": "true"})) == [fresh.public_id]
    assert len(tenant_api.get(LIST, {"unread": "perhaps"}).json()) == 2


@pytest.mark.parametrize("rows", [1, 60])
def test_the_inbox_costs_three_statements(tenant, tenant_api, django_assert_num_queries, rows):
    NotificationFactory.create_batch(rows, client=tenant)
    with django_assert_num_queries(3):  # who is asking, own, to everyone
        assert len(tenant_api.get(LIST, {"limit": 100}).json()) == rows


@pytest.mark.parametrize("rows", [1, 60])
def test_the_operators_inbox_costs_one_statement(admin_api, django_assert_num_queries, rows):
    NotificationFactory.create_batch(rows)
    with django_assert_num_queries(1):
        assert len(admin_api.get(LIST, {"limit": 100}).json()) == rows


class TestMarkRead:
    def test_marks_it_and_may_be_repeated(self, tenant, tenant_api):
        message = NotificationFactory(client=tenant)
        for _ in range(2):
            assert tenant_api.post(f"{LIST}/{message.public_id}/mark-read").json() == {"success": True}
        (item,) = tenant_api.get(LIST).json()
        assert (item["isRead"], item["read"]) == (True, True)

    def test_the_first_reading_counts(self, tenant, tenant_api):
        message = NotificationFactory(client=tenant)
        tenant_api.post(f"{LIST}/{message.public_id}/mark-read")
        message.refresh_from_db()
        first = message.read_at
        tenant_api.post(f"{LIST}/{message.public_id}/mark-read")
        message.refresh_from_db()
        assert message.read_at == first

    def test_what_is_not_the_callers_is_not_found(self, tenant_api):
        for foreign in (NotificationFactory(), NotificationFactory(client=None)):
            assert tenant_api.post(f"{LIST}/{foreign.public_id}/mark-read").status_code == 404
        assert tenant_api.post(f"{LIST}/no-such/mark-read").status_code == 404
        assert not Notification.objects.exclude(read_at=None).exists()

    def test_the_operator_marks_any(self, admin_api):
        for message in (NotificationFactory(), NotificationFactory(client=None)):
            assert admin_api.post(f"{LIST}/{message.public_id}/mark-read").status_code == 200
        assert unread() == set()


class TestMarkAllRead:
    @pytest.fixture(autouse=True)
    def messages(self, tenant):
        NotificationFactory(client=tenant, message="own")
        NotificationFactory(message="foreign")
        NotificationFactory(client=None, message="to all")

    def mark(self, api, body=None):
        response = api.post(f"{LIST}/mark-all-read", body)
        assert response.status_code == 200
        assert response.json()["success"] is True
        return response.json()["marked_count"]

    @pytest.mark.parametrize("body", [None, {}, {"client_id": None}])
    def test_the_operator_marks_everybodys(self, admin_api, body):
        assert self.mark(admin_api, body) == 3
        assert unread() == set()
        assert self.mark(admin_api, body) == 0

    def test_the_operator_marks_one_clients_and_those_to_everyone(self, tenant, admin_api):
        assert self.mark(admin_api, {"client_id": tenant.public_id}) == 2
        assert unread() == {"foreign"}

    def test_a_client_marks_its_own_only(self, tenant, tenant_api):
        assert self.mark(tenant_api, {"client_id": None}) == 1
        assert unread() == {"foreign", "to all"}
        assert self.mark(tenant_api, {"client_id": tenant.public_id}) == 0

    def test_another_clients_id_is_refused(self, tenant_api):
        body = {"client_id": ClientFactory().public_id}
        assert tenant_api.post(f"{LIST}/mark-all-read", body).status_code == 403
        assert unread() == {"own", "foreign", "to all"}

    def test_many_are_marked_in_batches(self, tenant, tenant_api, monkeypatch):
        monkeypatch.setattr("notifications.services.reading.BATCH", 10)
        NotificationFactory.create_batch(24, client=tenant)
        assert self.mark(tenant_api) == 25
