from django.apps import AppConfig
from django.urls import register_converter

from clients.converters import ClientIdConverter


class ClientsConfig(AppConfig):
    name = "clients"

    def ready(self) -> None:
        from clients import checks, schema  # noqa: F401 (registers system checks, and how to sign in for OpenAPI)

        register_converter(ClientIdConverter, "client")
