from django.apps import AppConfig
from django.urls import register_converter

from clients.converters import ClientIdConverter


class ClientsConfig(AppConfig):
    name = "clients"

    def ready(self) -> None:
        register_converter(ClientIdConverter, "client")
