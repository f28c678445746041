from typing import Any, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from clients.principals import Principal


class IsOperator(BasePermission):
    """Admin bearer token or staff session."""

    message = "This address is for operators only"

    def has_permission(self, request: Request, view: Any) -> bool:
        who = _caller(request)
        return who is not None and who.is_operator


class IsAdministrator(IsOperator):
    """Admin bearer token, or the session of somebody who may manage accounts."""

    message = "This is for administrators only"

    def has_permission(self, request: Request, view: Any) -> bool:
        who = _caller(request)
        return who is not None and who.is_administrator


class IsClient(BasePermission):
    """A client's own bearer token: the agent plane."""

    message = "This address is for agents with a client token"

    def has_permission(self, request: Request, view: Any) -> bool:
        who = _caller(request)
        return who is not None and not who.is_operator


class IsOperatorOrClient(BasePermission):
    """Either; querysets narrow a client to its own rows, and a foreign `client_id` in path or query is refused here."""

    message = "This belongs to another client"

    def has_permission(self, request: Request, view: Any) -> bool:
        who = _caller(request)
        wanted = [view.kwargs.get("client_id"), request.query_params.get("client_id")]
        return who is not None and all(who.may_see(one) for one in wanted if one not in (None, "", "all"))


def _caller(request: Request) -> Principal | None:
    return cast("Principal | None", request.user)
