"""What belongs to no app: jobs, the people who use the console, and what they did there."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from clients.roles import ROLES
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin
from spotopt.models import JobLease, JobRun

admin.site.unregister([User, Group])


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    list_display = ["name", "started_at", "seconds", "succeeded", "failures", "last_success_at", "host", "report"]
    list_filter = ["succeeded"]
    ordering = ["name"]
    search_fields = ["name", "host"]


@admin.register(JobLease)
class JobLeaseAdmin(ReadOnlyAdmin):
    """Which process runs a job now; `until` lies a few seconds ahead while it lives."""

    list_display = ["name", "holder", "until"]
    ordering = ["name"]
    search_fields = ["name", "holder"]


@admin.register(LogEntry)
class LogEntryAdmin(HistoryAdmin):
    """Who did what in the console. What came of it stands in the event log, with the same name as the actor."""

    list_display = ["action_time", "user", "content_type", "object_repr", "what"]
    list_filter = ["action_flag"]
    list_select_related = ["user", "content_type"]
    search_fields = ["=user__username", "=object_id", "object_repr__startswith"]
    fields = ["action_time", "user", "content_type", "object_id", "object_repr", "what"]
    readonly_fields = ["what"]

    @admin.display(description="what was done")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()


@admin.register(User)
class PeopleAdmin(UserAdmin):
    """Whoever manages accounts cannot make a superuser, nor touch one."""

    list_display = ["username", "email", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    list_per_page = 50
    show_full_result_count = False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if _is_superuser(request):
            return found
        hidden = ("is_superuser", "user_permissions")
        return [
            (title, parts | {"fields": [name for name in parts["fields"] if name not in hidden]})
            for title, parts in found
        ]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    """The three roles are the server's own (`clients.roles`); superusers, who may give any right, make others."""

    list_per_page = 50
    show_full_result_count = False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["name", "permissions" if self.has_change_permission(request, obj) else "rights"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["rights"]

    @admin.display(description="may")
    def rights(self, group: Group) -> str:
        """Django's own list would ask for the model of each."""
        names = group.permissions.order_by("content_type__app_label", "codename")
        return ", ".join(f"{app}.{name}" for app, name in names.values_list("content_type__app_label", "codename"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request) and not (obj and obj.name in ROLES)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request) and not (obj and obj.name in ROLES)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_superuser", False))


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return user is None or not user.is_superuser or _is_superuser(request)
