from django.apps import AppConfig
from django.urls import register_converter

from clients.converters import ClientIdConverter


class ClientsConfig(AppConfig):
    name = "clients"

    def ready(self) -> None:
        from clients import checks  # noqa: F401 (registers the system checks)

        register_converter(ClientIdConverter, "client")
