"""How long workloads were away because of switches (dashboard-api 2.4). What was not measured is left out, never 0."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from analytics.selectors.switches import moved_at
from clients.models import Client
from instances.models import Switch
from spotopt.common import clock


@dataclass
class _Measured:
    """How often each whole number of seconds occurred."""

    times: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.times.total()

    @property
    def total_seconds(self) -> int:
        return sum(seconds * number for seconds, number in self.times.items())

    @property
    def average(self) -> float | None:
        return round(self.total_seconds / self.count, 2) if self.count else None

    def percentile(self, percent: int) -> int | None:
        """The nearest rank."""
        rank, passed = -(-self.count * percent // 100), 0
        for seconds in sorted(self.times):
            passed += self.times[seconds]
            if passed >= rank:
                return seconds
        return None


@dataclass
class _Window:
    switches: int = 0
    successful: int = 0
    by_trigger: dict[str, _Measured] = field(default_factory=lambda: defaultdict(_Measured))

    @property
    def measured(self) -> _Measured:
        return _Measured(sum((one.times for one in self.by_trigger.values()), Counter()))


def downtime_of(*, client: Client, days: int | None) -> dict[str, Any]:
    """The `data` of the answer. Of the last `days`, or of all time, and then without a trend."""
    now = clock.now()
    since = now - timedelta(days=days) if days else None
    switches = _between(client, since, now)
    window = _summed(switches)
    measured = window.measured
    return _keys_of_the_old_server(window, measured, switches) | {
        "total_switches": window.switches,
        "successful_switches": window.successful,
        "failed_switches": window.switches - window.successful,
        "avg_downtime_seconds": measured.average,
        "p95_downtime_seconds": measured.percentile(95),
        "min_downtime_seconds": min(measured.times, default=None),
        "max_downtime_seconds": max(measured.times, default=None),
        "trend": _trend(measured, client, since, now) if since else None,
    }


def _keys_of_the_old_server(window: _Window, measured: _Measured, switches: QuerySet[Switch]) -> dict[str, Any]:
    without = measured.times[0]
    return {
        "total_downtime_seconds": measured.total_seconds,
        "average_downtime_per_switch": measured.average,
        "switches_with_downtime": measured.count - without,
        "switches_without_downtime": without,
        "downtime_by_trigger": {
            trigger: {"total_seconds": one.total_seconds, "average_seconds": one.average, "count": one.count}
            for trigger, one in sorted(window.by_trigger.items())
        },
        "longest_downtime": _longest(switches, measured.times),
    }


def _between(client: Client, since: datetime | None, until: datetime) -> QuerySet[Switch]:
    switches = Switch.objects.filter(client=client, created_at__lte=until)
    return switches.filter(created_at__gt=since) if since else switches


def _summed(switches: QuerySet[Switch]) -> _Window:
    """One statement, which reads the index `switch_downtimes` alone."""
    window = _Window()
    groups = switches.order_by().values_list("trigger", "success", "downtime_seconds").annotate(number=Count("pk"))
    for trigger, success, seconds, number in groups:
        window.switches += number
        window.successful += number if success else 0
        if seconds is not None:
            window.by_trigger[trigger].times[seconds] += number
    return window


def _longest(switches: QuerySet[Switch], times: Iterable[int]) -> dict[str, Any] | None:
    seconds = max(times, default=None)
    if seconds is None:
        return None
    switch = switches.filter(downtime_seconds=seconds).order_by("-created_at", "-id")[0]
    return {
        "switch_id": switch.public_id,
        "downtime_seconds": seconds,
        "timestamp": clock.isoformat(moved_at(switch)),
        "reason": switch.trigger,
    }


def _trend(measured: _Measured, client: Client, since: datetime, until: datetime) -> float | None:
    """Percent the average changed against the window before; positive is worse."""
    before = _summed(_between(client, since - (until - since), since)).measured.average
    if not before or measured.average is None:
        return None
    return round(100 * (measured.average - before) / before, 2)
