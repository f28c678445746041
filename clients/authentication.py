"""Bearer tokens of clients and of the operator, and the operator's browser session (dashboard-api 1.1, 1.3)."""

import logging
from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, PermissionDenied, Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from clients import audit
from clients.errors import InactiveClient, InvalidToken
from clients.models import Client
from clients.principals import Principal
from clients.ratelimit import OncePerMinute, PerMinute
from clients.roles import OPERATE
from clients.services import find_by_token
from spotopt.common import crypto, logs
from spotopt.common.addresses import peer_address

log = logging.getLogger(__name__)

failures = OncePerMinute()
guesses = PerMinute()  # wrong tokens by peer
MAX_ACTOR = 64  # what the columns that say who asked for it hold; user names may be longer


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`, or the bare token. A client costs one statement, the admin token none.

    A peer with too many wrong tokens is told 429, but a good token always works: agents and people share addresses.
    """

    refuses_guessing = True

    def authenticate(self, request: Request) -> tuple[Principal, Any] | None:
        token = self.read_token(request)
        if token is None:
            return None
        if crypto.is_same(token, settings.ADMIN_TOKEN):
            return Principal(), None
        try:
            client = self.find_client(token)
        except (InvalidToken, InactiveClient) as refusal:
            report_failure(request, refusal)
            if self.refuses_guessing and isinstance(refusal, InvalidToken):
                _refuse_guessing(peer_address(request))
            raise
        logs.client.set(client.public_id)
        return Principal(client=client), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"  # without it DRF answers 403 where 401 is due

    def read_token(self, request: Request) -> str | None:
        """None for a missing header and for one that is no bearer token, such as a proxy's own Basic login."""
        words = request.headers.get("Authorization", "").split()
        if not words:
            return _token_in_body(request)
        if len(words) == 2 and words[0].lower() == "bearer":
            return words[1]
        return words[0] if len(words) == 1 and words[0].lower() != "bearer" else None

    def find_client(self, token: str) -> Client:
        client = find_by_token(token=token)
        if client is None:
            raise InvalidToken
        if not client.is_active:
            raise InactiveClient(client)
        return client


class ClientTokenAuthentication(BearerAuthentication):
    """A client's token and nothing else: to this door even the admin token is a wrong one."""

    refuses_guessing = False  # agents register and uninstall here

    def authenticate(self, request: Request) -> tuple[Principal, Any] | None:
        authenticated = super().authenticate(request)
        if authenticated and authenticated[0].is_operator:
            raise InvalidToken
        return authenticated


class StaffSessionAuthentication(BaseAuthentication):
    """An operator's session. The dashboard cannot send a CSRF token, so unsafe calls must come from our own pages.

    Any staff user may look; what changes something takes the right to operate, whatever the view asks for.
    """

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        user = getattr(request._request, "user", None)
        if user is None or not (user.is_active and getattr(user, "is_staff", False)):
            return None
        if request.method not in SAFE_METHODS and not comes_from_own_page(request):
            raise PermissionDenied("This call did not come from a page of this server")
        if not (_only_looks(request) or user.has_perm(OPERATE)):
            raise PermissionDenied("Your account may look, but change nothing")
        return Principal(name=user.get_username()[:MAX_ACTOR], user=user), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _only_looks(request: Request) -> bool:
    """Views name in `looking_actions` their POSTs that change nothing."""
    view = request.parser_context["view"]
    is_harmless = getattr(view, "action", None) in getattr(view, "looking_actions", ())
    return request.method in SAFE_METHODS or is_harmless


def comes_from_own_page(request: Request) -> bool:
    """Browsers on plain HTTP leave Sec-Fetch-Site out, but send Origin with every unsafe call."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return bool(site == "same-origin")
    own = f"{request.scheme}://{request.get_host()}"
    return request.headers.get("Origin") in (own, *settings.CORS_ALLOWED_ORIGINS)


def report_failure(request: Request, refusal: InvalidToken | InactiveClient) -> None:
    """Event `auth_failed`, at most once a minute per peer and client: a misconfigured agent calls every few seconds."""
    peer, client = peer_address(request), refusal.client
    if not failures.allows((peer, client and client.pk)):
        return
    log.warning("authentication failed: %s, from %s", refusal.default_code, peer)
    audit.record(
        event_type="auth_failed",
        severity="warning",
        client=client,
        message=f"Authentication failed from {peer}: {refusal.default_detail}",
        metadata={"peer": peer, "path": logs.redact(request.path)[:200]},
    )


def _refuse_guessing(peer: str) -> None:
    """Only slows down and shows: 256 random bits are not guessed (the event says who tries)."""
    attempts = guesses.count(peer)
    if attempts.used > settings.WRONG_TOKENS_PER_MINUTE:
        raise Throttled(wait=attempts.reset, detail="Too many wrong tokens, try again later.")


def _token_in_body(request: Request) -> str | None:
    """v2 and v4 repeat their token in the registration (agent-api 1.3); views opt in."""
    if not getattr(request.parser_context["view"], "accepts_body_token", False):
        return None
    try:
        body = request.data
    except APIException:  # who is asking comes first; an unreadable body names nobody
        return None
    given = (body.get("client_token") or body.get("token")) if isinstance(body, dict) else None
    return given if isinstance(given, str) else None
