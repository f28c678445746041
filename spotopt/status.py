"""`manage status`: one screen that says how the server is, and what is wrong."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, Min, QuerySet

from agents.models import Agent, Command
from instances.models import InterruptionEpisode
from notifications.models import Delivery
from notifications.stream.presence import open_streams
from spotopt.common import clock
from spotopt.models import JobRun

LATE = timedelta(minutes=10)  # what a job should have dealt with by then


def server_status(*, intervals: Mapping[str, float]) -> dict[str, Any]:
    """`intervals`: the jobs there are, and the seconds between their rounds. `problems` is empty when all is well."""
    status: dict[str, Any] = {
        "version": settings.VERSION,
        "environment": settings.ENVIRONMENT,
        "at": clock.isoformat(clock.now()),
        "problems": [],
    }
    try:
        status["database"] = _database()
        if pending := status["database"]["pending_migrations"]:
            status["problems"].append(f"{len(pending)} migrations are pending: manage migrate")
            return status  # tables may be missing
        status["jobs"] = job_states(intervals)
        status["agents"] = _numbers(Agent.objects.all(), "status")
        status["queues"] = {"commands": _commands(), "deliveries": _deliveries()}
        episodes = InterruptionEpisode.objects.filter(status__in=InterruptionEpisode.OPEN)
        status["open_episodes"] = _numbers(episodes, "kind")
        status["streams"] = open_streams()["active_connections"]
        status["problems"] += _problems(status)
    except Error as error:
        status["problems"].append(f"The database does not answer: {type(error).__name__}")
    return status


def _database() -> dict[str, Any]:
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    latency = round((time.monotonic() - began) * 1000, 1)
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    info: Any = connection
    kind = "mariadb" if connection.vendor == "mysql" and info.mysql_is_mariadb else connection.vendor
    version = ".".join(map(str, connection.get_database_version()))
    pending = [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
    return {"kind": kind, "version": version, "latency_ms": latency, "pending_migrations": pending}


def job_states(intervals: Mapping[str, float]) -> dict[str, Any]:
    """How each job's last round went; one statement."""
    runs = {run.name: run for run in JobRun.objects.filter(name__in=intervals)}
    return {name: _job(runs.get(name), seconds) for name, seconds in intervals.items()}


def _job(run: JobRun | None, interval_seconds: float) -> dict[str, Any]:
    if run is None:
        return {"last_run": None, "state": "never ran"}
    state = "failing" if run.failures else "ok"
    return {
        "last_run": clock.isoformat(run.started_at),
        "last_success": clock.isoformat(run.last_success_at),
        "seconds": run.seconds,
        "failures": run.failures,
        "host": run.host,
        "report": run.report,
        "state": "overdue" if run.is_overdue(interval_seconds=interval_seconds) else state,
    }


def _commands() -> dict[str, Any]:
    rows = Command.objects.open()
    late = rows.filter(expires_at__lt=clock.now() - LATE).count()
    return _numbers(rows, "status") | {"oldest": _oldest(rows, "created_at"), "late": late}


def _deliveries() -> dict[str, Any]:
    pending = Delivery.objects.filter(status=Delivery.Status.PENDING)
    late = pending.filter(next_attempt_at__lt=clock.now() - LATE).count()
    return {"pending": pending.count(), "oldest": _oldest(pending, "created_at"), "late": late}


def _numbers(rows: QuerySet[Any], column: str) -> dict[str, Any]:
    return dict(rows.order_by(column).values_list(column).annotate(number=Count("pk")))


def _oldest(rows: QuerySet[Any], column: str) -> str | None:
    oldest: datetime | None = rows.aggregate(oldest=Min(column))["oldest"]
    return clock.isoformat(oldest)


def _problems(status: Mapping[str, Any]) -> Iterable[str]:
    for name, job in status["jobs"].items():
        if job["state"] != "ok":
            yield f"Job {name} is {job['state']}" if job["last_run"] else f"Job {name} never ran"
    for name, queue in status["queues"].items():
        if queue["late"]:
            yield f"{queue['late']} {name} should have been dealt with {LATE // timedelta(minutes=1)} minutes ago"
    overdue = InterruptionEpisode.objects.filter(
        status__in=InterruptionEpisode.OPEN, deadline_at__lt=clock.now() - LATE
    ).count()
    if overdue:
        yield f"{overdue} interruptions are open past their deadline"
