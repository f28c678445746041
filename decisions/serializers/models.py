"""Uploads and model sessions (dashboard-api 3.1 to 3.5)."""

from typing import Any

from rest_framework import serializers

from decisions.models import ModelSession
from decisions.services.trials import Status as TrialStatus
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


class LiveEngineOut(serializers.Serializer):
    loaded = serializers.BooleanField()
    type = serializers.CharField(help_text="The file's name, or `built-in`.")
    version = serializers.CharField()


class EngineUploadedOut(SuccessOut):
    files = serializers.ListField(child=serializers.CharField())
    restarting = serializers.BooleanField(help_text="Always false: nothing needs a restart.")
    engine_status = LiveEngineOut(help_text="What is live afterwards.")


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
    forceReason = serializers.CharField(
        default="",
        max_length=500,
        allow_blank=True,
        help_text="Why it is made live even if the backtest says that it is worse; goes on record.",
    )

    def to_internal_value(self, data: dict[str, Any]) -> Any:
        given = next((data[name] for name in ("sessionId", "session_id", "model_id") if data.get(name)), None)
        reason = {"forceReason": data["forceReason"]} if data.get("forceReason") is not None else {}
        return super().to_internal_value(reason if given is None else reason | {"sessionId": given})


class LiveModelsOut(serializers.Serializer):
    loaded = serializers.BooleanField()
    type = serializers.CharField()


class BacktestOut(serializers.Serializer):
    """With the session's models, and `_against` with what was live: on this server's own recorded history."""

    summary = serializers.CharField(help_text="All of it in words.")
    status = serializers.ChoiceField(choices=[one.value for one in TrialStatus])
    tried_at = serializers.DateTimeField()
    against = serializers.CharField(help_text="The id of the session that was live, or `built-in`.")
    margin = serializers.FloatField(help_text="Points it may be worse.")
    days = serializers.FloatField(help_text="Of recorded history.")
    workloads = serializers.IntegerField(help_text="That were replayed.")
    found = serializers.IntegerField(help_text="That could have been.")
    score = serializers.FloatField(allow_null=True, help_text="Points of J: percent of the on-demand bill.")
    score_against = serializers.FloatField(allow_null=True)
    moves_per_week = serializers.FloatField(allow_null=True)
    moves_per_week_against = serializers.FloatField(allow_null=True)
    reclaims_per_week = serializers.FloatField(allow_null=True, help_text="Expected.")
    reclaims_per_week_against = serializers.FloatField(allow_null=True)
    forced_because = serializers.CharField(allow_blank=True, help_text="Empty unless it was forced.")


class ActivatedOut(SuccessOut):
    backtest = BacktestOut()
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
    backtest = BacktestOut(allow_null=True, help_text="The last one; null before the first.")
    failingSince = serializers.DateTimeField(allow_null=True, help_text="Since then the built-in hazard is used.")
    failure = serializers.CharField(allow_null=True)
