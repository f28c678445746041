"""What the database says of the fleet, read anew for each scrape: one statement per figure, each through an index."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error
from django.db.models import Case, Count, Min, Q, QuerySet, Value, When
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.models import Agent, Command
from decisions.models import DecisionRecord
from instances.models import InterruptionEpisode
from instances.selectors.timelines import failover_figures
from notifications.models import Delivery, EmailRecipient, WebhookEndpoint
from notifications.stream.presence import open_streams
from spotopt.common import clock
from spotopt.monitoring.jobs import job_intervals, last_runs, overdue

log = logging.getLogger(__name__)

RECENT = timedelta(hours=1)  # of what is counted from history
FAILOVER_WINDOW = timedelta(days=1)
MOST_FAILOVERS = 2_000  # the newest ones of the window
LIVING = [status for status in Agent.Status if status != Agent.Status.DELETED]
CHANNELS = (WebhookEndpoint.CHANNEL, EmailRecipient.CHANNEL)

Sample = tuple[Iterable[Any], float | None]  # label values; None: not known, so left out


class FleetCollector(Collector):
    def collect(self) -> Iterable[Metric]:
        """Without the database there is nothing to say but that."""
        yield _gauge(
            "spotopt_build_info", "1, labelled with the server's version.", ["version"], [([settings.VERSION], 1)]
        )
        began = time.perf_counter()
        try:
            figures = list(_figures(clock.now()))
        except Error as error:
            log.warning("metrics: the database does not answer: %s", type(error).__name__)
            figures = []
        yield _gauge("spotopt_database_up", "1 while the database answers.", [], [([], bool(figures))])
        yield from figures
        seconds = time.perf_counter() - began
        yield _gauge("spotopt_database_read_seconds", "What reading these figures took.", [], [([], seconds)])


def _figures(now: datetime) -> Iterator[Metric]:
    yield from _agents(now)
    yield from _open_commands(now)
    yield _ended_commands(now)
    yield from _deliveries(now)
    yield from _open_episodes(now)
    yield from _failovers(now)
    yield _decisions(now)
    yield from _jobs(now)
    streams = open_streams()["active_connections"]
    yield _gauge("spotopt_event_streams", "Open event streams of all processes.", [], [([], streams)])


def _agents(now: datetime) -> Iterator[Metric]:
    """The index on (status, last_heartbeat_at) alone answers it."""
    found = _by(Agent.objects.filter(status__in=LIVING), "status", number=Count("pk"), oldest=Min("last_heartbeat_at"))
    numbers = [([status], found.get(status, {}).get("number", 0)) for status in LIVING]
    yield _gauge("spotopt_agents", "Agents by status, without deleted ones.", ["status"], numbers)
    oldest = found.get(Agent.Status.ONLINE, {}).get("oldest")
    help_text = "Since the heartbeat of the online agent that has been silent longest."
    yield _gauge("spotopt_oldest_heartbeat_age_seconds", help_text, [], [([], _age(oldest, now))])


def _open_commands(now: datetime) -> Iterator[Metric]:
    found = _by(Command.objects.open(), "status", number=Count("pk"), oldest=Min("created_at"))
    yield from _queue("spotopt_commands", "Orders to agents", "status", Command.OPEN, found, now)


def _ended_commands(now: datetime) -> Metric:
    ended = [Command.Status.COMPLETED, *Command.DEAD]
    rows = Command.objects.filter(status__in=ended, completed_at__gte=now - RECENT)
    found = _by(rows, "status", number=Count("pk"))
    numbers = [([status], found.get(status, {}).get("number", 0)) for status in ended]
    return _gauge("spotopt_commands_ended", "Orders that ended within the last hour.", ["status"], numbers)


def _deliveries(now: datetime) -> Iterator[Metric]:
    webhook, email = CHANNELS
    waiting = Delivery.objects.filter(status=Delivery.Status.PENDING)
    channel = Case(When(endpoint__isnull=False, then=Value(webhook)), default=Value(email))
    found = _by(waiting.annotate(channel=channel), "channel", number=Count("pk"), oldest=Min("created_at"))
    yield from _queue(
        "spotopt_deliveries", "Messages to webhooks and e-mail recipients", "channel", CHANNELS, found, now
    )


def _open_episodes(now: datetime) -> Iterator[Metric]:
    rows = InterruptionEpisode.objects.filter(open_for__isnull=False, is_drill=False)
    overdue = Count("pk", filter=Q(deadline_at__lt=now))
    found = _by(rows, "kind", number=Count("pk"), overdue=overdue)
    kinds = InterruptionEpisode.Kind
    numbers = [([kind], found.get(kind, {}).get("number", 0)) for kind in kinds]
    yield _gauge("spotopt_episodes_open", "Interruptions that are not over, without drills.", ["kind"], numbers)
    late = [([kind], found.get(kind, {}).get("overdue", 0)) for kind in kinds]
    yield _gauge("spotopt_episodes_overdue", "Those of them whose deadline has passed.", ["kind"], late)


def _failovers(now: datetime) -> Iterator[Metric]:
    """Termination notices that were received within the window and are over; drills are none."""
    kind = InterruptionEpisode.Kind.TERMINATION
    rows = InterruptionEpisode.objects.filter(detected_at__gte=now - FAILOVER_WINDOW, kind=kind, is_drill=False)
    columns = rows.only("kind", "status", "is_drill", "detected_at", "promoted_at", "deadline_at")
    figures = failover_figures(list(columns.order_by("-detected_at")[:MOST_FAILOVERS]))
    moved = figures["promoted"]
    outcomes: list[Sample] = [(["promoted"], moved), (["not_promoted"], figures["notices"] - moved)]
    yield _gauge("spotopt_failovers", "Termination notices of the last day by outcome.", ["outcome"], outcomes)
    in_time = figures["before_deadline"]
    yield _gauge("spotopt_failovers_in_time", "Those promoted before their deadline.", [], [([], in_time)])
    took = figures["notice_to_promoted_seconds"]
    percentiles: list[Sample] = [(["50"], took["p50"]), (["99"], took["p99"])]
    help_text = "From the notice until a standby was the primary, last day."
    yield _gauge("spotopt_failover_duration_seconds", help_text, ["percentile"], percentiles)


def _decisions(now: datetime) -> Metric:
    """A record is written when the answer changes, and once an hour while it does not."""
    ordered = Case(When(command_id="", then=Value("false")), default=Value("true"))
    rows = DecisionRecord.objects.filter(created_at__gte=now - RECENT).annotate(ordered=ordered)
    counted = rows.order_by().values_list("decision_type", "ordered").annotate(number=Count("pk"))
    found = {(kind, is_ordered): number for kind, is_ordered, number in counted}
    known = [(kind.value, is_ordered) for kind in DecisionRecord.Type for is_ordered in ("false", "true")]
    samples = [(labels, found.get(labels, 0)) for labels in known]
    help_text = "Decision records of the last hour, and whether an order followed."
    return _gauge("spotopt_decisions", help_text, ["decision", "ordered"], samples)


def _jobs(now: datetime) -> Iterator[Metric]:
    """Labelled `name`, because `job` is Prometheus's own label."""
    runs = last_runs()
    ages = [([name], _age(run.last_success_at, now)) for name, run in runs.items()]
    yield _gauge("spotopt_job_last_success_age_seconds", "Since a job's last successful round.", ["name"], ages)
    late = overdue(runs)
    states = [([name], name in late) for name in job_intervals()]
    help_text = "1 when a job had no success for three intervals and a minute."
    yield _gauge("spotopt_job_overdue", help_text, ["name"], states)
    failures = [([name], run.failures) for name, run in runs.items()]
    yield _gauge("spotopt_job_failures", "Failed rounds of a job in a row.", ["name"], failures)
    seconds = [([name], run.seconds) for name, run in runs.items()]
    yield _gauge("spotopt_job_duration_seconds", "What a job's last round took.", ["name"], seconds)


def _queue(
    name: str, what: str, label: str, known: Iterable[str], found: Mapping[str, Mapping[str, Any]], now: datetime
) -> Iterator[Metric]:
    """Its depth and the age of what waits longest; 0 where nothing does."""
    rows = [(str(value), found.get(value, {})) for value in known]
    numbers = [([value], row.get("number", 0)) for value, row in rows]
    yield _gauge(f"{name}_open", f"{what} that wait.", [label], numbers)
    ages = [([value], _age(row.get("oldest"), now) or 0) for value, row in rows]
    yield _gauge(f"{name}_oldest_age_seconds", f"{what}: how long the oldest has waited.", [label], ages)


def _by(rows: QuerySet[Any], column: str, **aggregates: Any) -> dict[str, dict[str, Any]]:
    return {row[column]: row for row in rows.order_by().values(column).annotate(**aggregates)}


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max(0.0, (now - at).total_seconds())


def _gauge(name: str, help_text: str, labels: list[str], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, number in samples:
        if number is not None:
            family.add_metric([str(value) for value in values], float(number))
    return family
