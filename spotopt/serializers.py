"""Answers of `/` and `/health` (dashboard-api 2.1): what `data` holds is repeated beside it."""

from rest_framework import serializers


class EndpointsOut(serializers.Serializer):
    health = serializers.CharField()
    admin = serializers.CharField()
    client = serializers.CharField()
    agents = serializers.CharField()


class RootMirroredOut(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.CharField()
    uptime_seconds = serializers.IntegerField(help_text="Of this process.")
    endpoints = EndpointsOut()


class RootDataOut(RootMirroredOut):
    status = serializers.ChoiceField(choices=["running"])
    environment = serializers.CharField()


class RootOut(RootMirroredOut):
    status = serializers.ChoiceField(choices=["success"])
    error = serializers.CharField(allow_null=True)
    data = RootDataOut()  # type: ignore[assignment]


class HealthMirroredOut(serializers.Serializer):
    timestamp = serializers.DateTimeField()
    database = serializers.ChoiceField(choices=["connected"])
    decision_engine_loaded = serializers.BooleanField()


class JobStateOut(serializers.Serializer):
    """All but the first two are missing until it ran once."""

    state = serializers.ChoiceField(choices=["ok", "failing", "overdue", "never ran"])
    last_run = serializers.DateTimeField(allow_null=True)
    last_success = serializers.DateTimeField(allow_null=True, required=False)
    seconds = serializers.FloatField(required=False, help_text="What the last round took.")
    failures = serializers.IntegerField(required=False, help_text="In a row.")
    host = serializers.CharField(required=False)
    report = serializers.CharField(required=False, help_text="What was done, or the kind of error.")


class HealthDataOut(HealthMirroredOut):
    status = serializers.ChoiceField(choices=["healthy"])
    version = serializers.CharField()
    uptime_seconds = serializers.IntegerField(help_text="Of this process.")
    jobs = serializers.DictField(child=JobStateOut(), required=False, help_text="With `details=true`.")


class HealthOut(HealthMirroredOut):
    status = serializers.ChoiceField(choices=["success"])
    error = serializers.CharField(allow_null=True)
    data = HealthDataOut()  # type: ignore[assignment]


class UnhealthyDataOut(serializers.Serializer):
    status = serializers.ChoiceField(choices=["unhealthy"])
    database = serializers.ChoiceField(choices=["disconnected"])
    timestamp = serializers.DateTimeField()


class UnhealthyOut(serializers.Serializer):
    """The error body, with the state in `data`."""

    status = serializers.ChoiceField(choices=["error"])
    error = serializers.CharField()
    code = serializers.ChoiceField(choices=["UNHEALTHY"])
    data = UnhealthyDataOut()  # type: ignore[assignment]
    details = serializers.DictField()
    message = serializers.CharField()
