from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from clients.authentication import BearerAuthentication
from clients.errors import InactiveClient, InvalidToken
from clients.principals import Principal
from notifications.services import tickets


class TicketAuthentication(BaseAuthentication):
    """`?ticket=` of POST /api/events/ticket, for browsers, whose EventSource sends no Authorization header."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        ticket = request.query_params.get("ticket")
        if not ticket or request.headers.get("Authorization"):
            return None
        who = tickets.redeem(ticket=ticket)
        if who is None:
            raise InvalidToken("The ticket is not valid any more")
        if who.client and not who.client.is_active:
            raise InactiveClient(who.client)
        return who, None

    def authenticate_header(self, request: Request) -> str:
        return BearerAuthentication().authenticate_header(request)
