"""What each web process counts for /metrics (docs/monitoring.md); `spotopt.monitoring` adds what the database says.

Counting is arithmetic in memory, or in a memory-mapped file where gunicorn runs several processes: no statement, no
system call, and a lock that is held for some additions.
"""

from enum import StrEnum
from functools import cache

from django.http import HttpRequest
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from spotopt.common.waiting import Kind

disable_created_metrics()

REGISTRY = CollectorRegistry()
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
NO_ROUTE = "none"  # unknown addresses, static files, preflights: answered before, or without, a route
# From a poll that costs two statements to the 30 s after which an agent gives up.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class DatabaseTrouble(StrEnum):
    UNAVAILABLE = "unavailable"  # a call was answered 503
    LOST_RACE = "lost_race"  # deadlock, lock wait or duplicate key: tried again


_requests = Counter("spotopt_http_requests", "Answered requests.", ["method", "route", "status"], registry=REGISTRY)
_durations = Histogram(
    "spotopt_http_request_duration_seconds",
    "Time until the answer's first byte.",
    ["method", "route"],
    buckets=BUCKETS,
    registry=REGISTRY,
)
_recalled = Counter(
    "spotopt_recalled_answers", "Answers to agents at rest, given without asking the database.", registry=REGISTRY
)
_refusals = Counter(
    "spotopt_overload_refusals", "Calls refused because they had waited too long.", ["kind"], registry=REGISTRY
)
_database_errors = Counter(
    "spotopt_database_errors", "Database errors that a web process met.", ["kind"], registry=REGISTRY
)
# So that they are 0, and not unknown, before the first one:
for _kind in DatabaseTrouble:
    _database_errors.labels(_kind.value)
for _refused in (Kind.PEOPLE, Kind.REPEATED, Kind.POLL):
    _refusals.labels(_refused.value)


def route_of(request: HttpRequest) -> str:
    """The pattern, never the path: ids would make a time series each."""
    match = request.resolver_match
    return f"/{match.route}" if match else NO_ROUTE


def count_request(*, method: str, route: str, status: int, seconds: float) -> None:
    number, duration = _series(method if method in METHODS else "OTHER", route, status)
    number.inc()
    duration.observe(seconds)


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Kept here, because the library takes a lock to find them. There are as many as routes and their statuses."""
    return _requests.labels(method, route, status), _durations.labels(method, route)


def count_recalled() -> None:
    _recalled.inc()


def count_refusal(kind: Kind) -> None:
    _refusals.labels(kind.value).inc()


def count_database_error(kind: DatabaseTrouble) -> None:
    _database_errors.labels(kind.value).inc()
