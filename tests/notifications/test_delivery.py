"""From the inbox to webhooks and e-mail (docs/notifications.md)."""

import json
import re
import smtplib
import time
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core import mail
from django.core.management import call_command
from django.urls import reverse

from notifications.models import Delivery, EmailRecipient, Notification, SystemEvent, WebhookEndpoint
from notifications.services import messages, notify, outbox
from notifications.services.outbound import SendingFailed
from spotopt.common import crypto
from tests.factories import ClientFactory, DeliveryFactory, WebhookEndpointFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def calls(monkeypatch):
    """Posted calls instead of sending them; `calls.problem` makes them fail."""

    class Calls(list):
        problem = ""

    made = Calls()

    def post(**call):
        made.append(call)
        if made.problem:
            raise SendingFailed(made.problem)

    monkeypatch.setattr(messages.outbound, "post", post)
    return made


@pytest.fixture
def server(settings):
    settings.EMAIL_HOST = "mail.example.com"


def deliver():
    outbox.forward()
    return outbox.deliver_due()


def tell(client, **fields):
    return notify(client=client, **{"message": "Hello", "notification_type": "test", "severity": "warning"} | fields)


class TestWebhooks:
    def test_a_call_says_what_the_inbox_says_and_is_signed(self, clock, calls, tenant, tenant_api):
        WebhookEndpointFactory(secret="whsec_1", url="https://hooks.example.com/in")
        tell(tenant)
        deliver()
        (call,) = calls
        assert call["url"] == "https://hooks.example.com/in"
        content = json.loads(call["body"])
        delivery = Delivery.objects.get()
        assert content == {
            "id": delivery.public_id,
            "sent_at": "2026-01-05T10:00:00Z",
            "notification": tenant_api.get("/api/notifications").json()[0],
        }
        assert call["headers"]["X-Spotopt-Delivery"] == delivery.public_id
        assert call["headers"]["X-Spotopt-Signature"] == messages.signature(
            secret="whsec_1", body=call["body"], at=1767607200
        )
        assert (delivery.status, delivery.attempts, delivery.last_error) == ("sent", 1, "")

    def test_the_documented_receiver_accepts_the_signature_and_nothing_else(self):
        text = (django_settings.BASE_DIR / "docs/notifications.md").read_text()
        documented = {}
        exec(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1), documented)
        is_genuine = documented["is_genuine"]
        header = messages.signature(secret="s", body=b"{}", at=int(time.time()))
        assert is_genuine("s", header, b"{}")
        assert not is_genuine("other", header, b"{}")
        assert not is_genuine("s", header, b"{ }")
        assert not is_genuine("s", messages.signature(secret="s", body=b"{}", at=int(time.time()) - 600), b"{}")

    def test_a_message_is_sent_once(self, calls, tenant):
        WebhookEndpointFactory()
        tell(tenant)
        for _ in range(3):
            deliver()
        assert len(calls) == 1

    def test_each_target_gets_what_it_asked_for(self, calls, tenant):
        other = ClientFactory()
        for name, wish in {
            "all": {},
            "own": {"client": tenant},
            "other": {"client": other},
            "errors": {"min_severity": "error"},
            "alerts": {"notification_types": "pricing_alert, agent_offline"},
            "off": {"is_active": False},
        }.items():
            WebhookEndpointFactory(name=name, url=f"https://{name}.example.com", **wish)
        tell(tenant)
        tell(tenant, notification_type="agent_offline", severity="critical")
        deliver()
        got = sorted(call["url"].removeprefix("https://").partition(".")[0] for call in calls)
        assert got == ["alerts", "all", "all", "errors", "own", "own"]

    def test_a_message_to_everyone_reaches_every_clients_target(self, calls, tenant):
        WebhookEndpointFactory(client=tenant)
        tell(None)
        deliver()
        assert len(calls) == 1

    def test_nothing_from_before_it_was_set_up_is_sent(self, clock, calls, tenant):
        tell(tenant)
        clock.shift(1)
        WebhookEndpointFactory()
        deliver()
        assert calls == []

    def test_a_pricing_alert_goes_where_its_channels_say(self, calls, tenant):
        WebhookEndpointFactory()
        tell(tenant, message="inbox only", metadata={"channels": ["dashboard"]})
        tell(tenant, message="webhook", metadata={"channels": ["dashboard", "webhook"]})
        deliver()
        assert [json.loads(call["body"])["notification"]["message"] for call in calls] == ["webhook"]


class TestRetrying:
    def test_the_pauses_double_up_to_an_hour(self):
        pauses = [outbox.pause_after(n).total_seconds() for n in range(1, 13)]
        for pause, least in zip(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600], strict=True):
            assert least <= pause <= least * 1.1

    def test_a_failed_call_waits_and_is_tried_again(self, clock, calls, tenant):
        WebhookEndpointFactory()
        tell(tenant)
        calls.problem = "The endpoint answered 500"
        deliver()
        deliver()
        assert len(calls) == 1
        assert Delivery.objects.get().last_error == "The endpoint answered 500"
        clock.shift(timedelta(seconds=34))
        calls.problem = ""
        deliver()
        assert len(calls) == 2
        assert Delivery.objects.get().status == "sent"

    def test_it_is_given_up_with_an_event_and_can_be_started_over(self, clock, calls, tenant):
        WebhookEndpointFactory(name="Pager")
        tell(tenant)
        calls.problem = "The endpoint answered 500"
        for _ in range(20):
            deliver()
            clock.shift(timedelta(hours=2))
        assert len(calls) == outbox.MOST_ATTEMPTS
        delivery = Delivery.objects.get()
        event = SystemEvent.objects.get(event_type="delivery_failed")
        assert (delivery.status, event.severity, event.client) == ("failed", "error", tenant)
        assert "Pager" in event.message
        assert "path-secret" not in f"{event.message} {event.metadata}"
        assert Notification.objects.count() == 1
        outbox.retry(deliveries=[delivery])
        calls.problem = ""
        deliver()
        assert Delivery.objects.get().status == "sent"

    def test_what_a_killed_job_had_taken_is_tried_again_after_its_lease(self, clock, calls, tenant):
        WebhookEndpointFactory()
        tell(tenant)
        outbox.forward()
        outbox._take()
        assert outbox.deliver_due().sent == 0
        clock.shift(outbox.LEASE)
        assert outbox.deliver_due().sent == 1

    def test_an_outcome_that_comes_after_the_lease_counts_no_more(self, clock, calls, tenant):
        WebhookEndpointFactory()
        tell(tenant)
        outbox.forward()
        (slow,) = outbox._take()
        clock.shift(outbox.LEASE)
        outbox.deliver_due()
        outbox._record(slow, "The endpoint did not answer in time", outbox.Tally())
        assert Delivery.objects.get().status == "sent"

    def test_a_target_that_was_switched_off_is_not_called(self, calls, tenant):
        WebhookEndpointFactory()
        tell(tenant)
        outbox.forward()
        WebhookEndpoint.objects.update(is_active=False)
        outbox.deliver_due()
        assert calls == []
        assert Delivery.objects.get().status == "failed"

    def test_one_bad_delivery_does_not_hold_up_the_others(self, calls, tenant):
        WebhookEndpointFactory(secret_encrypted="damaged")
        WebhookEndpointFactory()
        tell(tenant)
        done = deliver()
        assert (done.sent, done.failed) == (1, 1)

    def test_the_job_says_what_it_did(self, calls, tenant, capsys):
        WebhookEndpointFactory()
        tell(tenant)
        call_command("deliver_notifications")
        assert capsys.readouterr().out.strip() == "1 to deliver, 1 sent, 0 to try again, 0 given up"

    @pytest.mark.parametrize("messages_in_inbox", [1, 40])
    def test_a_round_without_news_costs_the_same_however_full_the_inbox_is(
        self, tenant, messages_in_inbox, django_assert_num_queries
    ):
        for _ in range(messages_in_inbox):
            tell(tenant)
        deliver()
        with django_assert_num_queries(6):  # targets, news; what is due, in a transaction
            deliver()


class TestEmail:
    @pytest.fixture(autouse=True)
    def recipient(self, clock, server):
        return EmailRecipient.objects.create(address="ops@example.com")

    def test_a_message_is_mailed(self, tenant):
        tell(tenant, message="Agent web-1\nis offline", notification_type="agent_offline")
        deliver()
        (letter,) = mail.outbox
        assert (letter.to, letter.subject) == (["ops@example.com"], "[spot] warning: Agent web-1 is offline")
        assert "Client: Tenant" in letter.body
        assert "2026-01-05T10:00:00Z" in letter.body

    def test_without_a_mail_server_the_delivery_says_so(self, tenant, settings):
        settings.EMAIL_HOST = ""
        tell(tenant)
        deliver()
        assert mail.outbox == []
        assert Delivery.objects.get().last_error == "EMAIL_HOST is not set"

    def test_a_refusal_is_told_without_the_servers_words(self, tenant, monkeypatch):
        def refuse(*args, **kwargs):
            raise smtplib.SMTPAuthenticationError(535, b"password hunter2 is wrong")

        monkeypatch.setattr(messages.EmailMessage, "send", refuse)
        tell(tenant)
        deliver()
        assert Delivery.objects.get().last_error == "The mail server refused it (SMTPAuthenticationError)"


class TestConsole:
    @pytest.fixture
    def console(self, client, staff):
        client.force_login(staff)
        return client

    def page(self, name, *args):
        return reverse(f"admin:notifications_webhookendpoint_{name}", args=args)

    def set_up(self, console, url="https://hooks.example.com/in?key=path-secret"):
        body = {"name": "Pager", "url": url, "client": "", "min_severity": "error", "notification_types": ""}
        return console.post(self.page("add"), body | {"is_active": "on"}, follow=True)

    def act(self, console, action, *endpoints):
        body = {"action": action, "_selected_action": [endpoint.pk for endpoint in endpoints]}
        return console.post(self.page("changelist"), body, follow=True).content.decode()

    def test_the_secret_is_shown_once_and_stored_encrypted(self, console, staff):
        html = self.set_up(console).content.decode()
        endpoint = WebhookEndpoint.objects.get()
        secret = crypto.decrypt(endpoint.secret_encrypted)
        assert secret in html
        assert secret not in endpoint.secret_encrypted
        for again in (self.page("changelist"), self.page("change", endpoint.pk), self.page("history", endpoint.pk)):
            assert secret not in console.get(again).content.decode()
        assert SystemEvent.objects.get(event_type="webhook_created").actor == staff.username

    def test_the_list_shows_the_host_only(self, console):
        WebhookEndpointFactory()
        html = console.get(self.page("changelist")).content.decode()
        assert "hooks.example.com" in html
        assert "path-secret" not in html

    @pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://10.0.0.1/", "nonsense"])
    def test_a_url_that_may_not_be_called_is_refused(self, console, url):
        assert self.set_up(console, url).context["adminform"].form.errors["url"]
        assert not WebhookEndpoint.objects.exists()

    def test_a_new_secret_replaces_the_old_one(self, console):
        endpoint = WebhookEndpointFactory(secret="old")
        html = self.act(console, "replace_secret", endpoint)
        endpoint.refresh_from_db()
        assert crypto.decrypt(endpoint.secret_encrypted) in html

    def test_a_test_is_sent_at_once_and_its_outcome_shown(self, console, calls):
        endpoint = WebhookEndpointFactory()
        assert "the test was sent" in self.act(console, "send_test", endpoint)
        assert json.loads(calls[0]["body"])["notification"]["type"] == "test"
        calls.problem = "The endpoint answered 404"
        assert "The endpoint answered 404" in self.act(console, "send_test", endpoint)
        assert not Notification.objects.exists()
        assert not Delivery.objects.exists()

    def test_what_was_given_up_is_tried_again_on_request(self, console):
        failed = DeliveryFactory(status="failed", attempts=12)
        body = {"action": "retry", "_selected_action": [failed.pk]}
        html = console.post(reverse("admin:notifications_delivery_changelist"), body, follow=True).content.decode()
        failed.refresh_from_db()
        assert (failed.status, failed.attempts) == ("pending", 0)
        assert "1 will be tried again" in html


def test_key_rotation_covers_signing_secrets(settings):
    endpoint = WebhookEndpointFactory(secret="whsec_1")
    settings.TOKEN_ENCRYPTION_KEYS = ["new key", *settings.TOKEN_ENCRYPTION_KEYS]
    call_command("rotate_keys")
    settings.TOKEN_ENCRYPTION_KEYS = ["new key"]
    endpoint.refresh_from_db()
    assert crypto.decrypt(endpoint.secret_encrypted) == "whsec_1"
