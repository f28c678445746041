from django.contrib import admin

from spotopt.common.admin import ReadOnlyAdmin
from spotopt.models import JobRun


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ["name", "started_at", "seconds", "succeeded", "failures", "last_success_at", "host", "report"]
    list_filter = ["succeeded"]
    ordering = ["name"]
    search_fields = ["name", "host"]
