"""What the server notes about itself; everything else belongs to an app."""

from datetime import timedelta

from django.db import models

from spotopt.common import clock
from spotopt.common.db import ExactCharField


class JobRun(models.Model):
    """The last round of a periodic job, on whatever machine it ran."""

    name = ExactCharField(max_length=64, unique=True)
    started_at = models.DateTimeField()
    seconds = models.FloatField()
    succeeded = models.BooleanField()
    report = models.CharField(max_length=255, default="", blank=True)  # what was done, or the kind of error
    host = models.CharField(max_length=255, default="", blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)  # in a row

    class Meta:
        db_table = "job_runs"

    def __str__(self) -> str:
        return self.name

    def is_overdue(self, *, interval_seconds: float) -> bool:
        """No success within three intervals and a minute."""
        allowed = timedelta(seconds=3 * interval_seconds + 60)
        return self.last_success_at is None or clock.now() - self.last_success_at > allowed


class JobLease(models.Model):
    """Who runs a periodic job, where several processes could (`spotopt.common.job_leases`)."""

    name = ExactCharField(max_length=64, unique=True)
    holder = ExactCharField(max_length=255, default="", blank=True)  # host:process:random
    until = models.DateTimeField()

    class Meta:
        db_table = "job_leases"

    def __str__(self) -> str:
        return self.name
