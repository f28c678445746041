"""Several jobs at once deliver each message once."""

import threading

import pytest
from django.db import connection

from notifications.models import Delivery, Notification
from notifications.services import messages, outbox
from tests.factories import ClientFactory, NotificationFactory, WebhookEndpointFactory

pytestmark = [pytest.mark.mysql, pytest.mark.django_db(transaction=True)]


def test_four_jobs_call_each_endpoint_once_per_message(monkeypatch):
    called, lock = [], threading.Lock()

    def post(*, headers, **call):
        with lock:
            called.append(headers[messages.DELIVERY_HEADER])

    monkeypatch.setattr(messages.outbound, "post", post)
    client = ClientFactory()
    WebhookEndpointFactory.create_batch(2)
    NotificationFactory.create_batch(60, client=client)
    start = threading.Barrier(4)

    def job():
        try:
            start.wait(10)
            outbox.forward()
            outbox.deliver_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=job) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not Notification.objects.filter(is_forwarded=False).exists()
    assert Delivery.objects.filter(status="sent").count() == 120
    assert len(called) == len(set(called)) == 120
