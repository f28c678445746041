"""Uploads and model sessions (dashboard-api 3.1 to 3.5)."""

from typing import Any

from rest_framework import serializers

from decisions.models import ModelSession
from spotopt.common.serializers import SuccessOut


class ModelUploadIn(serializers.Serializer):
    """The files may also stand in `files[]`, `file` or `model`."""

    files = serializers.ListField(child=serializers.FileField(), max_length=20)
    model_name = serializers.CharField(required=False, help_text="Default: the first file's name.")
    model_version = serializers.CharField(required=False)
    model_type = serializers.CharField(required=False)


class EngineUploadIn(serializers.Serializer):
    """The file may also stand in `files[]`, `file` or `engine`."""

    files = serializers.ListField(child=serializers.FileField(), max_length=20)


class PendingModelsOut(serializers.Serializer):
    filesUploaded = serializers.IntegerField()
    totalSize = serializers.IntegerField(help_text="Bytes.")
    sessionType = serializers.CharField(help_text="pending_activation")


class ModelsUploadedOut(SuccessOut):
    files = serializers.ListField(child=serializers.CharField())
    files_uploaded = serializers.IntegerField()
    sessionId = serializers.CharField()
    session_id = serializers.CharField(help_text="The same.")
    requiresRestart = serializers.BooleanField(help_text="Always true: the session waits for its activation.")
    model_status = PendingModelsOut()


class ActivateIn(serializers.Serializer):
    sessionId = serializers.CharField(help_text="Also called `session_id` or `model_id`.")

    def to_internal_value(self, data: dict[str, Any]) -> Any:
        given = next((data[name] for name in ("sessionId", "session_id", "model_id") if data.get(name)), None)
        return super().to_internal_value({} if given is None else {"sessionId": given})


class LiveModelsOut(serializers.Serializer):
    loaded = serializers.BooleanField()
    type = serializers.CharField()


class ActivatedOut(SuccessOut):
    sessionId = serializers.CharField()
    restarting = serializers.BooleanField(help_text="Always false: nothing needs a restart.")
    model_status = LiveModelsOut()


class RolledBackOut(SuccessOut):
    sessionId = serializers.CharField(help_text="Of the session that is live again.")
    fallbackSessionId = serializers.CharField(help_text="The same.")
    fallback_session = serializers.CharField(help_text="The same.")
    restarting = serializers.BooleanField(help_text="Always false: nothing needs a restart.")


class ModelSessionOut(serializers.Serializer):
    id = serializers.CharField()
    session_id = serializers.CharField(help_text="The same.")
    name = serializers.CharField()
    version = serializers.CharField(help_text="Without a leading v.")
    isLive = serializers.BooleanField()
    isFallback = serializers.BooleanField()
    fileCount = serializers.IntegerField()
    files = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(choices=ModelSession.Status.choices)
    totalSize = serializers.IntegerField(help_text="Bytes.")
    createdAt = serializers.DateTimeField()
    activatedAt = serializers.DateTimeField(allow_null=True)
