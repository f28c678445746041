from rest_framework import serializers

from clients.models import Client


class ClientIn(serializers.Serializer):
    name = serializers.CharField(max_length=255)
    email = serializers.EmailField(max_length=255, required=False, allow_null=True, allow_blank=True)


class ClientOut(serializers.ModelSerializer):
    id = serializers.CharField(source="public_id")

    class Meta:
        model = Client
        fields = ["id", "name", "status", "email", "created_at"]
