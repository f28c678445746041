"""The ways to sign in, for the OpenAPI description."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from clients.permissions import IsClient, IsOperator

SECURITY_SCHEMES = {
    "clientToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A client's token: its own fleet, never another's.",
    },
    "adminToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The operator's token (ADMIN_TOKEN): everything.",
    },
    "staffSession": {
        "type": "apiKey",
        "in": "cookie",
        "name": settings.SESSION_COOKIE_NAME,
        "description": "An operator who signed in at /login. Unsafe calls must come from a page of this server.",
    },
    "eventTicket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "From POST /api/events/ticket, for browsers, whose EventSource sends no headers.",
    },
}


class _Scheme(OpenApiAuthenticationExtension):
    name: list[str] = []  # definitions are added by the hook: several classes share one

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return []


class BearerScheme(_Scheme):
    """Both kinds of token come in the same header; which of them an operation takes is for its permissions to say."""

    target_class = "clients.authentication.BearerAuthentication"
    match_subclasses = True

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        permissions = auto_schema.view.get_permissions()
        names = {"clientToken", "adminToken"}
        if any(isinstance(permission, IsClient) for permission in permissions):
            names = {"clientToken"}
        if any(isinstance(permission, IsOperator) for permission in permissions):
            names = {"adminToken"}
        return [{name: []} for name in sorted(names)]


class StaffSessionScheme(_Scheme):
    target_class = "clients.authentication.StaffSessionAuthentication"

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{"staffSession": []}]


class TicketScheme(_Scheme):
    target_class = "notifications.authentication.TicketAuthentication"

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{"eventTicket": []}]


def add_security_schemes(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Postprocessing hook of drf-spectacular."""
    result["components"]["securitySchemes"] = SECURITY_SCHEMES
    return result
