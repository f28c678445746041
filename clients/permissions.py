from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class IsOperator(BasePermission):
    """Admin bearer token or staff session."""

    message = "This address is for operators only"

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_operator)


class IsClient(BasePermission):
    """A client's own bearer token: the agent plane."""

    message = "This address is for agents with a client token"

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and not request.user.is_operator)


class IsOperatorOrClient(BasePermission):
    """Either; querysets narrow a client to its own rows, and a foreign `client_id` in path or query is refused here."""

    message = "This belongs to another client"

    def has_permission(self, request: Request, view: Any) -> bool:
        wanted = [view.kwargs.get("client_id"), request.query_params.get("client_id")]
        return bool(request.user) and all(request.user.may_see(one) for one in wanted if one not in (None, "", "all"))
