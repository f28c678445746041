from django.contrib import admin

from notifications.models import Notification, PricingAlert, SystemEvent
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin


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
    list_display = ["client", "alert_type", "pool_id", "threshold", "is_enabled", "is_crossed", "last_triggered_at"]
    list_filter = ["alert_type", "is_enabled", "is_crossed"]
    list_select_related = ["client"]
    search_fields = ["pool_id__startswith", "=client__name"]
    ordering = ["client", "id"]
