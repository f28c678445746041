import json
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.management.base import BaseCommand

from spotopt.monitoring.jobs import job_intervals
from spotopt.status import server_status


class Command(BaseCommand):
    help = "Show how the server is: database, jobs, agents, queues. Ends with 1 when something is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        status = server_status(intervals=job_intervals())
        lines = [json.dumps(status, indent=2)] if options["json"] else _lines(status)
        for line in lines:
            self.stdout.write(line)
        if status["problems"]:
            raise SystemExit(1)


def _lines(status: Mapping[str, Any]) -> Iterator[str]:
    yield f"Spot Optimizer {status['version']} ({status['environment']}) at {status['at']}"
    if database := status.get("database"):
        yield f"database  {database['kind']} {database['version']}, answers in {database['latency_ms']} ms"
    if "jobs" in status:
        yield from _fleet(status)
        yield "jobs"
        for name, job in status["jobs"].items():
            told = f"{job['last_run']}  {job['seconds']:>7.2f} s  {job['report']}" if job["last_run"] else ""
            yield f"  {name:<24}{job['state']:<10}{told}"[:160].rstrip()
    yield ""
    yield from (f"WRONG: {problem}" for problem in status["problems"])
    if not status["problems"]:
        yield "All is well."


def _fleet(status: Mapping[str, Any]) -> Iterator[str]:
    yield f"agents    {_listed(status['agents'])}"
    for name, queue in status["queues"].items():
        since = f", the oldest since {queue['oldest']}" if queue["oldest"] else ""
        numbers = {word: number for word, number in queue.items() if word not in ("oldest", "late")}
        yield f"{name:<10}{_listed(numbers)}{since}"
    yield f"episodes  {_listed(status['open_episodes'])}"
    yield f"streams   {status['streams']}"


def _listed(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in numbers.items()) or "none"
