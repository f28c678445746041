from functools import cache

from spotopt.management.commands.run_jobs import JOBS, load_job


@cache
def job_intervals() -> dict[str, float]:
    """The periodic jobs, and the seconds between their rounds."""
    return {name: load_job(name).interval_seconds for name in JOBS}
