import pytest
from django.urls import reverse

from analytics.models import UsageLedger
from analytics.services.ledger import roll_up

LIST = reverse("admin:analytics_usageledger_changelist")


@pytest.mark.parametrize("count", [1, 30])
def test_the_ledgers_page_stays_cheap(world, client, staff, count, django_assert_max_num_queries):
    for _ in range(count):
        world.instance()
    world.go_to(1)
    roll_up()
    client.force_login(staff)
    with django_assert_max_num_queries(6):
        page = client.get(LIST)
    assert page.content.decode().count("t3.medium.us-east-1a") == count


def test_a_ledger_row_is_looked_at_and_never_edited(world, client, staff):
    world.instance()
    world.go_to(1)
    roll_up()
    client.force_login(staff)
    row = reverse("admin:analytics_usageledger_change", args=[UsageLedger.objects.get().pk])
    assert client.get(row).status_code == 200
    assert client.post(row, {"paid_usd": 0}).status_code == 403
