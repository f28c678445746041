from collections.abc import Mapping
from functools import cache

from spotopt.management.commands.run_jobs import JOBS, load_job
from spotopt.models import JobRun


@cache
def job_intervals() -> dict[str, float]:
    """The periodic jobs, and the seconds between their rounds."""
    return {name: load_job(name).interval_seconds for name in JOBS}


def last_runs() -> dict[str, JobRun]:
    """By job; one that never ran is not there. One statement."""
    return {run.name: run for run in JobRun.objects.filter(name__in=job_intervals())}


def overdue(runs: Mapping[str, JobRun]) -> list[str]:
    """The jobs that had no success for three intervals and a minute, or never ran; `runs` are `last_runs`."""
    return [
        name
        for name, seconds in job_intervals().items()
        if name not in runs or runs[name].is_overdue(interval_seconds=seconds)
    ]
