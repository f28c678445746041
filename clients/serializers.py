from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from clients.models import Client
from spotopt.common.bodies import JsonBody
from spotopt.common.serializers import SuccessOut


@extend_schema_serializer(examples=[OpenApiExample("A client", value={"name": "Acme", "email": "ops@acme.example"})])
class ClientIn(JsonBody):
    name = serializers.CharField(max_length=255)
    email = serializers.EmailField(max_length=255, required=False, allow_null=True, allow_blank=True)


class ClientOut(serializers.ModelSerializer):
    id = serializers.CharField(source="public_id")

    class Meta:
        model = Client
        fields = ["id", "name", "status", "email", "created_at"]


class ClientWithTokenOut(ClientOut):
    token = serializers.CharField(help_text="Shown here, and again at the token address.")

    class Meta(ClientOut.Meta):
        fields = [*ClientOut.Meta.fields, "token"]


class ClientCreatedOut(serializers.Serializer):
    success = serializers.BooleanField()
    client = ClientWithTokenOut()


class NewTokenOut(SuccessOut):
    token = serializers.CharField()


@extend_schema_serializer(examples=[OpenApiExample("A token", value={"token": "token-…", "client_name": "Acme"})])
class TokenOut(serializers.Serializer):
    token = serializers.CharField()
    client_name = serializers.CharField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A good token",
            value={
                "valid": True,
                "client_id": "e3da12d2-6ebc-4496-b719-c4cc409e7384",
                "name": "Acme",
                "client_name": "Acme",
                "email": "ops@acme.example",
                "status": "active",
            },
        )
    ]
)
class ValidOut(serializers.Serializer):
    """The error body has `valid` as well, false."""

    valid = serializers.BooleanField()
    client_id = serializers.CharField()
    name = serializers.CharField()
    client_name = serializers.CharField(help_text="The same as `name`.")
    email = serializers.EmailField(allow_null=True)
    status = serializers.ChoiceField(choices=["active"])
