"""Who is asking: the operator, or one client. What DRF calls `request.user`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from clients.roles import ADMINISTER

if TYPE_CHECKING:
    from clients.models import Client


@dataclass(frozen=True)
class Principal:
    """`client` is None for the operator (admin token or staff session); `user` is the person behind a session."""

    client: "Client | None" = None
    name: str = "operator"
    user: Any = field(default=None, compare=False, repr=False)

    is_authenticated = True  # DRF's throttles and browsable parts ask for it

    @property
    def is_operator(self) -> bool:
        return self.client is None

    @property
    def is_administrator(self) -> bool:
        """May manage clients, tokens and uploads. The admin token may do everything."""
        return self.is_operator and (self.user is None or self.user.has_perm(ADMINISTER))

    @property
    def tenant(self) -> "Client":
        """The client behind a client token, for views that let nobody else in."""
        if self.client is None:
            raise PermissionDenied("This address is for client tokens")
        return self.client

    @property
    def key(self) -> str:
        """Identifies the principal across requests; never a token."""
        return self.client.public_id if self.client else f"operator:{self.name}"

    def may_see(self, client_public_id: str) -> bool:
        return self.client is None or self.client.public_id == client_public_id


class ApiRequest(Request):
    """For annotations: behind our authentication classes and parser, this is what a request holds."""

    if TYPE_CHECKING:
        user: Principal  # type: ignore[assignment]
        auth: Any
        data: dict[str, Any]
