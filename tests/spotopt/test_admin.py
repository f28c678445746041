"""The operators' console: every page opens, stays cheap, and lets nobody type in what only services may change."""

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Agent, CleanupLog, Command, PricingReport
from analytics.models import ArchivedSavings, ClientDay, SwitchTally, UsageLedger
from clients.models import Client, ClientTombstone
from decisions.models import (
    DecisionRecord,
    ModelFile,
    ModelSession,
    PoolExperience,
    PoolPrediction,
    Recommendation,
    Shadow,
    ShadowDay,
    SpotAdvice,
    UploadedEngine,
)
from instances.models import Instance, LaunchFailure, OnDemandPriceHistory, Pool, SpotPriceHistory
from notifications.models import EmailRecipient, PricingAlert, SystemEvent, WebhookEndpoint
from spotopt.common import clock
from spotopt.models import JobLease, JobRun
from tests.factories import (
    AgentFactory,
    ClientFactory,
    CommandFactory,
    DeliveryFactory,
    InterruptionEpisodeFactory,
    OperatorFactory,
    PoolFactory,
    ReplicaFactory,
    SwitchFactory,
    SystemEventFactory,
    UsageIntervalFactory,
    token_of,
)

pytestmark = pytest.mark.django_db

ROWS = 50
NO_COST = dict.fromkeys(["seconds", "priced_seconds", "paid_usd", "baseline_usd"], 0)
NO_BILLS = dict.fromkeys(["seconds", "priced_seconds", "real_usd", "shadow_usd"], 0)
MAX_QUERIES = 12
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
BY_HAND = {
    Agent,
    Client,
    Pool,
    User,
    Group,
    WebhookEndpoint,
    EmailRecipient,
}  # the only tables where a form saves anything


@pytest.fixture
def console(client, staff):
    client.force_login(staff)
    return client


def page(model, name, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def fill(number):
    """`number` rows of every model in the console, each with its own agent and client."""
    now = clock.now()
    for n in range(number):
        agent = AgentFactory()
        instance = agent.instances.get()
        UsageIntervalFactory(instance=instance)
        UsageLedger.objects.create(
            client=agent.client, agent=agent, instance=instance, hour=now, role="primary", mode="spot", **NO_COST
        )
        ArchivedSavings.objects.create(client=agent.client, period="total", savings_usd=1)
        LaunchFailure.objects.create(client=agent.client, agent=agent, error_class="capacity")
        for factory in (CommandFactory, ReplicaFactory, SwitchFactory, InterruptionEpisodeFactory):
            factory(agent=agent)
        DeliveryFactory(endpoint__client=agent.client)
        EmailRecipient.objects.create(client=agent.client, address=f"ops{n}@example.com")
        SystemEventFactory(client=agent.client)
        PricingAlert.objects.create(client=agent.client, threshold=1)
        PoolFactory(instance_type=f"t{n}.medium")
        PricingReport.objects.create(agent=agent, slot=0, received_at=now)
        CleanupLog.objects.create(agent=agent, reported_at=now)
        ClientTombstone.objects.create(public_id=f"gone-{n}", name="Gone", created_at=now)
        DecisionRecord.objects.create(client=agent.client, agent=agent, decision_type="stay")
        Recommendation.objects.create(
            client=agent.client, agent=agent, target_mode="ondemand", current_mode="spot", expires_at=now
        )
        Shadow.objects.create(agent=agent, mode="spot", started_at=now, followed_at=now, computed_until=now)
        ShadowDay.objects.create(client=agent.client, agent=agent, day=now.date(), **NO_BILLS)
        SpotAdvice.objects.create(instance_type=f"t{n}.medium", region="us-east-1", bucket=0, savings_percent=60)
        PoolExperience.objects.create(pool_id=f"t{n}.medium.us-east-1a", as_of=now)
        session = ModelSession.objects.create(name=f"Risk {n}", version="1", uploaded_by="operator")
        ModelFile.objects.create(session=session, name="risk.onnx", sha256="0" * 64, size=1)
        PoolPrediction.objects.create(
            pool_id=f"t{n}.medium.us-east-1a", session=session, interruption_probability_24h=0.1, predicted_at=now
        )
        UploadedEngine.objects.create(
            name=f"{n}.py", sha256=f"{n:064}", size=1, uploaded_by="operator", status="archived"
        )
        JobRun.objects.create(name=f"job_{n}", started_at=now, seconds=0.1, succeeded=True)
        JobLease.objects.create(name=f"job_{n}", until=now)
        LogEntry.objects.log_actions(OperatorFactory().pk, [agent], CHANGE, "Enable")
        ClientDay.objects.create(client=agent.client, day=now.date())
        SwitchTally.objects.get_or_create(agent=agent, defaults={"client": agent.client})
        Group.objects.create(name=f"Group {n}")


def opened(console, address, **query):
    """(status code, number of statements) of a page."""
    with CaptureQueriesContext(connection) as queries:
        answer = console.get(address, query)
    return answer.status_code, len(queries)


def bad(pages):
    return {label: page for label, page in pages.items() if page[0] != 200 or page[1] > MAX_QUERIES}


def test_every_list_of_fifty_rows_is_cheap(console):
    fill(ROWS)
    assert [m for m in REGISTERED if not m._default_manager.exists()] == [], "let fill() make rows of it"
    assert bad({model._meta.label: opened(console, page(model, "changelist")) for model in REGISTERED}) == {}


def test_every_list_can_be_searched(console):
    found = {m._meta.label: opened(console, page(m, "changelist"), q="i-0123456789abcdef0") for m in REGISTERED}
    assert bad(found) == {}


def test_every_row_opens_and_is_cheap(console):
    fill(1)
    rows = {model: model._default_manager.first() for model in REGISTERED}
    assert bad({m._meta.label: opened(console, page(m, "change", row.pk)) for m, row in rows.items()}) == {}


def test_what_services_change_cannot_be_typed_in(console):
    fill(1)
    for model in set(REGISTERED) - BY_HAND:
        pk = model._default_manager.first().pk
        assert console.get(page(model, "add")).status_code == 403, model
        assert console.post(page(model, "change", pk), {"status": "online"}).status_code == 403, model
        assert console.post(page(model, "delete", pk), {"post": "yes"}).status_code == 403, model


def test_every_table_an_operator_may_ask_about_is_there():
    wanted = {Agent, Command, CleanupLog, PricingReport, Instance, Pool, Client, SystemEvent, SpotPriceHistory}
    assert wanted | {OnDemandPriceHistory} <= set(REGISTERED)


def test_the_console_asks_strangers_to_log_in(client):
    answer = client.get(page(Client, "changelist"))
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/admin/login/")


def test_a_pool_can_be_closed_and_keeps_a_price_that_moved_meanwhile(console):
    pool = PoolFactory(price="0.01")
    console.get(page(Pool, "change", pool.pk))
    Pool.objects.filter(pk=pool.pk).update(price="0.02")
    assert console.post(page(Pool, "change", pool.pk), {}).status_code == 302
    pool.refresh_from_db()
    assert (pool.is_active, float(pool.price)) == (False, 0.02)


class TestClients:
    def messages(self, answer):
        return [str(message) for message in answer.context["messages"]]

    def create(self, console, **body):
        return console.post(page(Client, "add"), {"name": "Web", "email": ""} | body, follow=True)

    def act(self, console, action, *clients, **body):
        data = {"action": action, "_selected_action": [client.pk for client in clients]} | body
        return console.post(page(Client, "changelist"), data, follow=True)

    def test_a_new_clients_token_is_shown_once(self, console):
        answer = self.create(console)
        client = Client.objects.get()
        token = token_of(client)
        assert token in answer.content.decode()
        for again in (
            page(Client, "changelist"),
            page(Client, "change", client.pk),
            page(Client, "history", client.pk),
        ):
            assert token not in console.get(again).content.decode()

    def test_no_page_shows_a_hash_or_a_ciphertext(self, console):
        client = ClientFactory()
        html = "".join(
            console.get(page(Client, *which)).content.decode() for which in [["changelist"], ["change", client.pk]]
        )
        assert client.token_hash not in html
        assert client.token_encrypted not in html

    @pytest.mark.parametrize("body", [{"name": "WEB"}, {"name": " "}, {"name": "Shop", "email": "A@example.com"}])
    def test_what_the_api_refuses_the_form_refuses(self, console, body):
        ClientFactory(name="Web", email="a@example.com")
        answer = self.create(console, **body)
        assert answer.context["adminform"].form.errors
        assert Client.objects.count() == 1

    def test_a_client_can_be_renamed_and_the_event_says_by_whom(self, console, staff):
        client = ClientFactory(name="Web")
        answer = console.post(
            page(Client, "change", client.pk), {"name": "WEB shop", "email": "a@example.com", "decision_mode": "auto"}
        )
        assert answer.status_code == 302
        client.refresh_from_db()
        assert (client.name, client.name_key, client.email) == ("WEB shop", "web shop", "a@example.com")
        assert SystemEvent.objects.get(event_type="client_renamed").actor == staff.username

    def test_a_new_token_is_made_only_after_a_warning(self, console):
        client = ClientFactory()
        old = token_of(client)
        assert "Agents with it are locked out" in self.act(console, "regenerate_token", client).content.decode()
        client.refresh_from_db()
        assert token_of(client) == old
        answer = self.act(console, "regenerate_token", client, confirmed="yes")
        client.refresh_from_db()
        assert token_of(client) != old
        assert token_of(client) in self.messages(answer)[0]
        assert SystemEvent.objects.filter(event_type="token_regenerated", client=client).exists()

    def test_clients_can_be_shut_out_and_let_in_again(self, console):
        clients = ClientFactory.create_batch(2)
        assert self.messages(self.act(console, "deactivate", *clients)) == ["2 clients deactivated"]
        assert not Client.objects.filter(is_active=True).exists()
        assert self.messages(self.act(console, "activate", clients[0])) == ["1 clients activated"]
        assert SystemEvent.objects.filter(event_type="client_deactivated").count() == 2

    @pytest.mark.parametrize("from_list", [True, False])
    def test_deleting_goes_through_the_service(self, console, from_list, django_capture_on_commit_callbacks):
        client = AgentFactory().client
        with django_capture_on_commit_callbacks(execute=True):
            if from_list:
                self.act(console, "delete_selected", client, post="yes")
            else:
                console.post(page(Client, "delete", client.pk), {"post": "yes"})
        assert not Client.objects.exists()
        assert not Agent.objects.exists()
        assert ClientTombstone.objects.get().public_id == client.public_id

    def test_the_question_before_deleting_loads_none_of_its_rows(self, console, django_assert_max_num_queries):
        client = ClientFactory()
        AgentFactory.create_batch(5, client=client)
        with django_assert_max_num_queries(8):
            answer = console.get(page(Client, "delete", client.pk))
        assert "with its agents, instances" in answer.content.decode()

    def test_who_may_only_look_can_do_nothing(self, client):
        from django.contrib.auth.models import Permission

        looker = OperatorFactory(is_superuser=False)
        looker.user_permissions.add(Permission.objects.get(codename="view_client"))
        client.force_login(looker)
        tenant = ClientFactory()
        token = token_of(tenant)
        self.act(client, "regenerate_token", tenant, confirmed="yes")
        self.act(client, "deactivate", tenant)
        assert client.post(page(Client, "delete", tenant.pk), {"post": "yes"}).status_code == 403
        tenant.refresh_from_db()
        assert (token_of(tenant), tenant.is_active) == (token, True)
