"""Answers about the server itself (dashboard-api 2.2)."""

from rest_framework import serializers


class FileOut(serializers.Serializer):
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    modified = serializers.DateTimeField()


class EngineOut(serializers.Serializer):
    loaded = serializers.BooleanField()
    type = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)
    filesUploaded = serializers.IntegerField()
    files = FileOut(many=True, help_text="At most 10.")


class ActiveModelOut(serializers.Serializer):
    name = serializers.CharField()
    version = serializers.CharField(help_text="Without a leading v.")
    active = serializers.BooleanField()


class ModelsOut(serializers.Serializer):
    loaded = serializers.BooleanField()
    filesUploaded = serializers.IntegerField()
    activeModels = ActiveModelOut(many=True)
    name = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)
    files = FileOut(many=True)


class SystemHealthOut(serializers.Serializer):
    apiStatus = serializers.CharField()
    database = serializers.CharField(help_text="Connected or Disconnected.")
    decisionEngine = serializers.CharField(help_text="Loaded or Not Loaded.")
    connectionPool = serializers.CharField(help_text="Connections of the database in use / allowed; `n/a` on SQLite.")
    timestamp = serializers.DateTimeField()
    decisionEngineStatus = EngineOut()
    modelStatus = ModelsOut()
