from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.urls import register_converter

from clients.converters import ClientIdConverter


class ClientsConfig(AppConfig):
    name = "clients"

    def ready(self) -> None:
        from clients import checks, roles, schema  # noqa: F401 (registers system checks, and how to sign in for OpenAPI)

        post_migrate.connect(roles.give_permissions, dispatch_uid="roles")  # for every app
        register_converter(ClientIdConverter, "client")
