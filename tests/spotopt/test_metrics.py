"""`/metrics`: what it says, what it costs, and who may read it (docs/monitoring.md)."""

from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from agents.models import Agent, Command
from decisions.models import DecisionRecord
from instances.models import InterruptionEpisode
from notifications.models import Delivery, EmailRecipient, StreamProcess
from spotopt.common import clock, db, metrics
from spotopt.management.commands.run_jobs import JOBS
from spotopt.models import JobRun
from spotopt.monitoring import fleet
from tests.factories import (
    AgentFactory,
    CommandFactory,
    DeliveryFactory,
    InterruptionEpisodeFactory,
    NotificationFactory,
    token_of,
)

pytestmark = pytest.mark.django_db

TOKEN = "scrape-0123456789abcdefghijklmnopqrstuvwxyz"
Kind, Status = InterruptionEpisode.Kind, InterruptionEpisode.Status


@pytest.fixture
def traveller():
    with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
        yield traveller


class Metrics:
    """`metrics("name", label="value")` is that sample's value; None where there is none."""

    def __init__(self, text):
        self.families = list(text_string_to_metric_families(text))

    def __call__(self, name, /, **labels):
        found = [s.value for f in self.families for s in f.samples if s.name == name and s.labels == labels]
        return found[0] if found else None

    def labels(self, name, label):
        return {s.labels[label] for f in self.families for s in f.samples if s.name == name}


def answer_of(api, **headers):
    return api.get("/metrics", HTTP_HOST="127.0.0.1:5000", **headers)


@pytest.fixture
def scraped(anonymous_api):
    def scrape():
        answer = answer_of(anonymous_api)
        assert answer.status_code == 200
        return Metrics(answer.content.decode())

    return scrape


def failover(*, ago, took=None, **changed):
    detected_at = clock.now() - ago
    facts = {
        "detected_at": detected_at,
        "deadline_at": detected_at + timedelta(seconds=120),
        "status": Status.RESOLVED,
        "promoted_at": detected_at + timedelta(seconds=took) if took else None,
    }
    return InterruptionEpisodeFactory(**facts | changed)


def decision(agent, **facts):
    return DecisionRecord.objects.create(client=agent.client, agent=agent, **facts)


def job_run(name, **facts):
    now = clock.now()
    ran = {"started_at": now, "seconds": 0.5, "succeeded": True, "last_success_at": now}
    return JobRun.objects.create(name=name, **ran | facts)


def world(number):
    """`number` of everything that a scrape looks at."""
    for place in range(number):
        agent = AgentFactory(last_heartbeat_at=clock.now())
        CommandFactory(agent=agent, client=agent.client)
        CommandFactory(agent=agent, client=agent.client, status=Command.Status.FAILED, completed_at=clock.now())
        DeliveryFactory()
        InterruptionEpisodeFactory(agent=agent)
        failover(ago=timedelta(hours=1), took=40)
        decision(agent, decision_type="stay")
        StreamProcess.objects.create(process_id=str(place), connections=2, seen_at=clock.now())
    for name in JOBS:
        job_run(name)


class TestRequests:
    def test_they_are_counted_by_pattern_and_status_never_by_id(self, anonymous_api, tenant_api, scraped):
        agents = AgentFactory.create_batch(2)
        route = "/api/agents/<str:agent_id>/config"
        before = scraped()("spotopt_http_requests_total", method="GET", route=route, status="404") or 0
        for agent in agents:
            tenant_api.get(f"/api/agents/{agent.public_id}/config")  # another tenant's
        after = scraped()
        assert after("spotopt_http_requests_total", method="GET", route=route, status="404") == before + 2
        assert after("spotopt_http_request_duration_seconds_count", method="GET", route=route) >= 2
        assert not any(
            agent.public_id in label
            for label in after.labels("spotopt_http_requests_total", "route")
            for agent in agents
        )

    @pytest.mark.parametrize("path", ["/nothing-here-1", "/api/nothing-here-2", "/static/nothing-here-3.css"])
    def test_an_unknown_address_is_no_series_of_its_own(self, anonymous_api, scraped, path):
        before = scraped()("spotopt_http_requests_total", method="GET", route="none", status="404") or 0
        anonymous_api.get(path)
        after = scraped()
        assert after("spotopt_http_requests_total", method="GET", route="none", status="404") == before + 1
        assert not any("nothing-here" in route for route in after.labels("spotopt_http_requests_total", "route"))

    def test_an_invented_method_is_no_series_of_its_own(self, anonymous_api, scraped):
        anonymous_api.generic("BREW", "/health")
        assert "BREW" not in scraped().labels("spotopt_http_requests_total", "method")
        assert scraped()("spotopt_http_requests_total", method="OTHER", route="/health", status="405") >= 1

    def test_counting_costs_no_statement(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            metrics.count_request(method="GET", route="/x", status=200, seconds=0.01)

    def test_a_call_that_the_database_failed_is_counted(self, admin_api, monkeypatch, scraped):
        def fail(**kwargs):
            raise OperationalError(2006, "gone")

        before = scraped()("spotopt_database_errors_total", kind="unavailable")
        monkeypatch.setattr("clients.services.create_client", fail)
        assert admin_api.post("/api/admin/clients/create", {"name": "x"}).status_code == 503
        assert scraped()("spotopt_database_errors_total", kind="unavailable") == before + 1

    def test_a_lost_race_is_counted(self, scraped, monkeypatch):
        outcomes = iter([OperationalError(1213, "deadlock"), None])
        monkeypatch.setattr(db.transaction.get_connection(), "in_atomic_block", False)

        def once():
            if error := next(outcomes):
                raise error

        before = scraped()("spotopt_database_errors_total", kind="lost_race")
        db.retried(once)()
        monkeypatch.undo()
        assert scraped()("spotopt_database_errors_total", kind="lost_race") == before + 1


@pytest.mark.usefixtures("traveller")
class TestFleet:
    def test_agents_by_status_without_deleted_ones(self, scraped):
        AgentFactory.create_batch(2)
        AgentFactory(status=Agent.Status.OFFLINE)
        AgentFactory(status=Agent.Status.DELETED)
        found = scraped()
        assert found("spotopt_agents", status="online") == 2
        assert found("spotopt_agents", status="offline") == 1
        assert found("spotopt_agents", status="error") == 0
        assert found("spotopt_agents", status="deleted") is None

    def test_the_longest_silence_is_that_of_an_online_agent(self, scraped):
        now = clock.now()
        for seconds in (10, 90):
            AgentFactory(last_heartbeat_at=now - timedelta(seconds=seconds))
        AgentFactory(status=Agent.Status.OFFLINE, last_heartbeat_at=now - timedelta(days=3))
        assert scraped()("spotopt_oldest_heartbeat_age_seconds") == 90

    def test_without_an_online_agent_no_silence_is_invented(self, scraped):
        AgentFactory(status=Agent.Status.OFFLINE)
        assert scraped()("spotopt_oldest_heartbeat_age_seconds") is None

    def test_open_orders_and_their_age(self, scraped):
        for minutes in (5, 20):
            CommandFactory(created_at=clock.now() - timedelta(minutes=minutes), purpose=Command.Purpose.OTHER)
        CommandFactory(status=Command.Status.COMPLETED, completed_at=clock.now() - timedelta(minutes=30))
        CommandFactory(status=Command.Status.FAILED, completed_at=clock.now() - timedelta(minutes=61))
        found = scraped()
        assert found("spotopt_commands_open", status="pending") == 2
        assert found("spotopt_commands_open", status="delivered") == 0
        assert found("spotopt_commands_oldest_age_seconds", status="pending") == 1200
        assert found("spotopt_commands_oldest_age_seconds", status="delivered") == 0
        assert found("spotopt_commands_ended", status="completed") == 1
        assert found("spotopt_commands_ended", status="failed") == 0

    def test_the_outbox_by_channel(self, scraped):
        DeliveryFactory.create_batch(2, created_at=clock.now() - timedelta(minutes=3))
        DeliveryFactory(status=Delivery.Status.SENT)
        recipient = EmailRecipient.objects.create(address="ops@example.com")
        Delivery.objects.create(notification=NotificationFactory(), recipient=recipient)
        found = scraped()
        assert found("spotopt_deliveries_open", channel="webhook") == 2
        assert found("spotopt_deliveries_oldest_age_seconds", channel="webhook") == 180
        assert found("spotopt_deliveries_open", channel="email") == 1

    def test_open_interruptions_and_those_past_their_deadline(self, scraped):
        InterruptionEpisodeFactory(deadline_at=clock.now() - timedelta(seconds=1))
        InterruptionEpisodeFactory(deadline_at=clock.now() + timedelta(seconds=60))
        InterruptionEpisodeFactory(is_drill=True)
        InterruptionEpisodeFactory(status=Status.RESOLVED)
        found = scraped()
        assert found("spotopt_episodes_open", kind="termination-notice") == 2
        assert found("spotopt_episodes_overdue", kind="termination-notice") == 1
        assert found("spotopt_episodes_open", kind="rebalance-recommendation") == 0

    def test_failovers_of_the_last_day_and_how_long_they_took(self, scraped):
        for took in (30, 40, 150):
            failover(ago=timedelta(hours=1), took=took)
        failover(ago=timedelta(hours=1), status=Status.FAILED)
        failover(ago=timedelta(hours=25), took=5)
        failover(ago=timedelta(hours=1), took=5, is_drill=True)
        failover(ago=timedelta(hours=1), took=5, kind=Kind.REBALANCE)
        found = scraped()
        assert found("spotopt_failovers", outcome="promoted") == 3
        assert found("spotopt_failovers", outcome="not_promoted") == 1
        assert found("spotopt_failovers_in_time") == 2
        assert found("spotopt_failover_duration_seconds", percentile="50") == 40
        assert found("spotopt_failover_duration_seconds", percentile="99") == 150

    def test_without_failovers_no_duration_is_invented(self, scraped):
        found = scraped()
        assert found("spotopt_failovers", outcome="promoted") == 0
        assert found("spotopt_failover_duration_seconds", percentile="50") is None

    def test_more_failovers_than_are_read_count_as_the_newest(self, scraped, monkeypatch):
        monkeypatch.setattr(fleet, "MOST_FAILOVERS", 2)
        for hours, took in ((3, 99), (2, 20), (1, 20)):
            failover(ago=timedelta(hours=hours), took=took)
        assert scraped()("spotopt_failover_duration_seconds", percentile="99") == 20

    def test_decisions_of_the_last_hour(self, scraped):
        agent = AgentFactory()
        decision(agent, decision_type="switch_spot", command_id="c1")
        decision(agent, decision_type="switch_spot")
        decision(agent, decision_type="stay")
        decision(agent, decision_type="stay", created_at=clock.now() - timedelta(minutes=61))
        found = scraped()
        assert found("spotopt_decisions", decision="switch_spot", ordered="true") == 1
        assert found("spotopt_decisions", decision="switch_spot", ordered="false") == 1
        assert found("spotopt_decisions", decision="stay", ordered="false") == 1
        assert found("spotopt_decisions", decision="switch_ondemand", ordered="true") == 0

    def test_jobs_that_run_fail_or_stopped(self, scraped, traveller):
        job_run("sweep_agents")
        traveller.shift(timedelta(minutes=10))
        job_run("run_decisions", failures=2, succeeded=False, last_success_at=clock.now() - timedelta(seconds=30))
        found = scraped()
        assert found("spotopt_job_last_success_age_seconds", name="sweep_agents") == 600
        assert found("spotopt_job_overdue", name="sweep_agents") == 1
        assert found("spotopt_job_overdue", name="run_decisions") == 0
        assert found("spotopt_job_failures", name="run_decisions") == 2
        assert found("spotopt_job_duration_seconds", name="run_decisions") == 0.5

    def test_a_job_that_never_ran_is_overdue_of_unknown_age(self, scraped):
        found = scraped()
        assert found("spotopt_job_overdue", name="sweep_failovers") == 1
        assert found("spotopt_job_last_success_age_seconds", name="sweep_failovers") is None

    def test_streams_of_all_processes(self, scraped):
        for process, age in (("a", 0), ("b", 0), ("gone", 61)):
            seen_at = clock.now() - timedelta(seconds=age)
            StreamProcess.objects.create(process_id=process, connections=3, seen_at=seen_at)
        assert scraped()("spotopt_event_streams") == 6

    def test_without_the_database_it_says_so_and_still_what_was_counted(self, scraped, monkeypatch):
        def away():
            raise OperationalError(2002, "cannot connect to db.internal")

        monkeypatch.setattr(fleet, "open_streams", away)
        found = scraped()
        assert found("spotopt_database_up") == 0
        assert found("spotopt_agents", status="online") is None
        assert found("spotopt_database_errors_total", kind="unavailable") is not None


class TestCost:
    @pytest.mark.parametrize("number", [1, 20])
    def test_a_scrape_costs_nine_statements(self, anonymous_api, number, django_assert_num_queries):
        world(number)
        with django_assert_num_queries(9):
            answer_of(anonymous_api)

    def test_no_table_is_read_from_end_to_end(self, anonymous_api):
        """Only SQLite plans small tables as it would large ones."""
        if connection.vendor != "sqlite":
            pytest.skip("MariaDB rightly reads small tables in full")
        world(1)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            answer_of(anonymous_api)
        with connection.cursor() as cursor:
            for query in captured.captured_queries:
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                scans = [row[3] for row in cursor.fetchall() if row[3].startswith("SCAN")]
                assert [scan for scan in scans if "stream_processes" not in scan] == []  # as many rows as processes


class TestAccess:
    @pytest.fixture
    def status(self, anonymous_api):
        def read(host="127.0.0.1:5000", **environ):
            return anonymous_api.get("/metrics", HTTP_HOST=host, **environ).status_code

        return read

    @pytest.mark.parametrize(
        ("remote", "host"), [("127.0.0.1", "localhost"), ("127.8.8.8", "127.0.0.1:8000"), ("::1", "[::1]:8000")]
    )
    def test_without_settings_this_machine_may_read(self, status, remote, host):
        assert status(host, REMOTE_ADDR=remote) == 200

    @pytest.mark.parametrize(
        "environ",
        [
            {"REMOTE_ADDR": "10.0.0.9"},
            {"REMOTE_ADDR": ""},  # a Unix socket: a proxy's
            {"REMOTE_ADDR": "10.0.0.9", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
            {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.7"},
            {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
            {"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=203.0.113.7"},
            {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REAL_IP": "203.0.113.7"},
            {"REMOTE_ADDR": "127.0.0.1", "HTTP_VIA": "1.1 cache"},
            {"REMOTE_ADDR": "127.0.0.1", "host": "spot.example.com"},  # a proxy, or a page whose name leads here
        ],
    )
    def test_without_settings_nobody_else_may(self, status, environ):
        assert status(**environ) == 403

    def test_that_holds_behind_a_trusted_proxy_too(self, status, settings):
        settings.TRUSTED_PROXIES = ["127.0.0.1"]
        assert status(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="127.0.0.1, 203.0.113.7") == 403

    @pytest.mark.parametrize("given", ["Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer é"])
    def test_a_wrong_token_is_401_even_from_this_machine(self, status, settings, given):
        settings.METRICS_TOKEN = TOKEN
        assert status() == 401
        assert status(HTTP_AUTHORIZATION=given) == 401

    def test_the_token_opens_it_from_anywhere(self, status, settings):
        settings.METRICS_TOKEN = TOKEN
        assert status("spot.example.com", REMOTE_ADDR="203.0.113.7", HTTP_AUTHORIZATION=f"Bearer {TOKEN}") == 200

    def test_tokens_of_the_api_do_not(self, anonymous_api, status, settings, tenant):
        for token in (settings.ADMIN_TOKEN, token_of(tenant)):
            assert status("spot.example.com", REMOTE_ADDR="10.0.0.9", HTTP_AUTHORIZATION=f"Bearer {token}") == 403

    def test_without_a_token_set_an_empty_one_opens_nothing(self, status):
        assert status(REMOTE_ADDR="10.0.0.9", HTTP_AUTHORIZATION="Bearer ") == 403

    def test_a_network_opens_it_for_its_addresses(self, status, settings):
        settings.METRICS_NETWORKS = ["10.0.0.0/8", "2001:db8::/32"]
        assert status("spot.example.com", REMOTE_ADDR="10.1.2.3") == 200
        assert status(REMOTE_ADDR="2001:db8::7") == 200
        assert status(REMOTE_ADDR="11.0.0.1") == 403
        assert status(REMOTE_ADDR="127.0.0.1") == 403

    def test_through_a_proxy_the_callers_address_counts_if_the_proxy_is_trusted(self, status, settings):
        settings.METRICS_NETWORKS = ["10.0.0.0/8"]
        assert status(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.7") == 403
        settings.TRUSTED_PROXIES = ["10.0.0.1"]
        assert status(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.7") == 403
        assert status(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="10.5.5.5") == 200

    def test_with_both_set_either_is_enough(self, status, settings):
        settings.METRICS_NETWORKS, settings.METRICS_TOKEN = ["10.0.0.0/8"], TOKEN
        assert status(REMOTE_ADDR="10.0.0.1") == 200
        assert status(REMOTE_ADDR="203.0.113.7", HTTP_AUTHORIZATION=f"Bearer {TOKEN}") == 200
        assert status(REMOTE_ADDR="203.0.113.7") == 401

    def test_what_is_no_network_lets_nobody_in(self, status, settings):
        settings.METRICS_NETWORKS = ["everybody"]
        assert status() == 403

    def test_it_is_only_for_reading(self, anonymous_api):
        assert anonymous_api.post("/metrics").status_code == 405


class TestHealthDetails:
    def test_who_may_read_metrics_is_told_how_the_jobs_are(self, anonymous_api):
        job_run("sweep_agents", failures=1, report="OperationalError")
        data = anonymous_api.get("/health?details=true", HTTP_HOST="127.0.0.1").json()["data"]
        assert set(data["jobs"]) == set(JOBS)
        assert (data["jobs"]["sweep_agents"]["state"], data["jobs"]["sweep_agents"]["report"]) == (
            "failing",
            "OperationalError",
        )
        assert data["jobs"]["run_decisions"] == {"last_run": None, "state": "never ran"}

    @pytest.mark.parametrize(
        ("query", "remote"), [("", "127.0.0.1"), ("?details=true", "10.0.0.9"), ("?details=maybe", "127.0.0.1")]
    )
    def test_others_get_the_plain_answer_for_one_statement(
        self, anonymous_api, query, remote, django_assert_num_queries
    ):
        with django_assert_num_queries(1):
            answer = anonymous_api.get(f"/health{query}", HTTP_HOST="127.0.0.1", REMOTE_ADDR=remote)
        assert answer.status_code == 200
        assert "jobs" not in answer.json()["data"]
