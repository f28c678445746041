"""Events, the inbox, and who is told of it outside of the dashboard."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from notifications.models import (
    Delivery,
    EmailRecipient,
    Notification,
    PricingAlert,
    SystemEvent,
    WebhookEndpoint,
)
from notifications.services import outbound, outbox, targets
from spotopt.common.admin import HistoryAdmin, OpsAdmin, ReadOnlyAdmin
from spotopt.common.errors import DomainError


@admin.register(SystemEvent)
class SystemEventAdmin(HistoryAdmin):
    list_display = ["created_at", "severity", "event_type", "client", "agent_id", "instance_id", "actor", "message"]
    list_filter = ["severity"]
    list_select_related = ["client"]
    search_fields = ["=event_type", "=agent_id", "=instance_id", "=client__public_id", "=client__name"]


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    list_display = ["created_at", "severity", "notification_type", "client", "message", "read_at"]
    list_filter = ["severity", ("read_at", admin.EmptyFieldListFilter)]
    list_select_related = ["client"]
    search_fields = ["=notification_type", "=agent_id", "=public_id", "=client__name"]


@admin.register(PricingAlert)
class PricingAlertAdmin(ReadOnlyAdmin):
    list_display = ["client", "alert_type", "pool_id", "threshold", "is_enabled", "last_triggered_at"]
    list_filter = ["alert_type", "is_enabled"]
    list_select_related = ["client"]
    search_fields = ["pool_id__startswith", "=client__name"]
    ordering = ["client", "id"]


class TargetAdmin(OpsAdmin):
    list_filter = ["is_active", "min_severity"]
    list_select_related = ["client"]
    raw_id_fields = ["client"]
    actions = ["send_test"]

    @admin.action(description="Send a test", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.on_each(request, queryset.select_related("client"), _tested)


def _tested(target: outbox.Target) -> str:
    if problem := outbox.send_test(target=target):
        raise DomainError(problem)
    return "the test was sent"


class WebhookEndpointForm(forms.ModelForm):
    class Meta:
        model = WebhookEndpoint
        fields = ["name", "url", "client", "min_severity", "notification_types", "is_active"]

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            outbound.place_of(url)
        except outbound.SendingFailed as problem:
            raise ValidationError(str(problem)) from None
        return url


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(TargetAdmin):
    form = WebhookEndpointForm
    list_display = ["name", "host", "client", "min_severity", "notification_types", "is_active"]
    search_fields = ["name__istartswith", "=client__name"]
    ordering = ["name", "id"]
    actions = ["send_test", "replace_secret"]

    @admin.display(description="host")
    def host(self, endpoint: WebhookEndpoint) -> str:
        """The list shows no path: with many services it is the secret."""
        try:
            return outbound.place_of(endpoint.url).host
        except outbound.SendingFailed:
            return "?"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may not change it does not see the path either."""
        may_change = obj is None or self.has_change_permission(request, obj)
        fields = WebhookEndpointForm.Meta.fields
        return fields if may_change else ["host" if name == "url" else name for name in fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [] if obj is None or self.has_change_permission(request, obj) else ["host"]

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=form.changed_data or None)
        else:
            self._show_once(request, obj, targets.create_endpoint(endpoint=obj, actor=request.user.get_username()))

    @admin.action(description="Make a new signing secret", permissions=["change"])
    def replace_secret(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        for endpoint in queryset.select_related("client"):
            secret = targets.replace_secret(endpoint=endpoint, actor=request.user.get_username())
            self._show_once(request, endpoint, secret)

    def _show_once(self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str) -> None:
        self.message_user(request, f"Signing secret of {endpoint}, shown this once: {secret}", messages.WARNING)


@admin.register(EmailRecipient)
class EmailRecipientAdmin(TargetAdmin):
    fields = ["address", "client", "min_severity", "notification_types", "is_active"]
    list_display = ["address", "client", "min_severity", "notification_types", "is_active"]
    search_fields = ["address__istartswith", "=client__name"]
    ordering = ["address", "id"]


@admin.register(Delivery)
class DeliveryAdmin(HistoryAdmin):
    list_display = ["created_at", "status", "target", "notification", "attempts", "next_attempt_at", "last_error"]
    list_filter = ["status"]
    list_select_related = ["endpoint", "recipient", "notification"]
    search_fields = ["=public_id", "=notification__public_id"]
    actions = ["retry"]

    @admin.action(description="Try again what was given up", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        self.message_user(request, f"{outbox.retry(deliveries=list(queryset[:1000]))} will be tried again")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.change_delivery")
