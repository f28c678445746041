from rest_framework import serializers

from notifications.models import Severity
from spotopt.common.bodies import JsonBody

SHOWN = [severity for severity in Severity.values if severity != Severity.CRITICAL]  # emitted as error


class NotificationOut(serializers.Serializer):
    id = serializers.CharField()
    message = serializers.CharField(allow_blank=True)
    severity = serializers.ChoiceField(SHOWN)
    isRead = serializers.BooleanField()
    time = serializers.DateTimeField()
    clientId = serializers.CharField(allow_null=True, help_text="Null: a message to everyone.")
    type = serializers.CharField()
    read = serializers.BooleanField(help_text="As isRead.")
    timestamp = serializers.DateTimeField(help_text="As time.")
    metadata = serializers.DictField()


class MarkAllReadIn(JsonBody):
    client_id = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, help_text="Absent or null: all the caller may see."
    )


class MarkedOut(serializers.Serializer):
    success = serializers.BooleanField()


class AllMarkedOut(MarkedOut):
    marked_count = serializers.IntegerField()


class ActivityOut(serializers.Serializer):
    id = serializers.CharField()
    type = serializers.ChoiceField(["switch", "agent", "event"])
    text = serializers.CharField(allow_blank=True)
    time = serializers.DateTimeField()
    severity = serializers.ChoiceField(SHOWN)
    eventType = serializers.CharField()
    clientId = serializers.CharField(allow_null=True)
    agentId = serializers.CharField(allow_null=True)
    instanceId = serializers.CharField(allow_null=True)
