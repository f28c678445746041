"""Which instance is calling? After a switch two instances share agent id and token (agent-api 1.8).

A signed cookie, set whenever an instance names itself, tells them apart on calls that carry no instance id.
"""

from dataclasses import dataclass

from django.core import signing
from django.http import HttpRequest
from rest_framework.response import Response

from agents.models import Agent
from spotopt.common.addresses import peer_address

COOKIE = "spotopt_instance"
_SALT = "agents.attribution"
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Caller:
    """`instance_id` is empty when nothing tells; `source` says what told: body, cookie, address, sole or unknown."""

    instance_id: str
    source: str

    def is_primary_of(self, agent: Agent) -> bool:
        """Unknown callers are read as the primary; nothing that changes a role may rely on that."""
        return self.instance_id in ("", agent.instance_id)


def identify(request: HttpRequest, agent: Agent, *, claimed: str = "") -> Caller:
    """The calling instance by body, cookie, peer address, or because only one is alive. No query for the first two."""
    if claimed:
        return Caller(claimed, "body")
    if by_cookie := _read_cookie(request, agent):
        return Caller(by_cookie, "cookie")
    alive = list(agent.instances.alive().values_list("instance_id", "private_ip", "public_ip")[:50])
    peer = peer_address(request)
    at_peer = [row[0] for row in alive if peer and peer in row[1:]]
    if len(at_peer) == 1:
        return Caller(at_peer[0], "address")
    if len(alive) == 1:
        return Caller(alive[0][0], "sole")
    return Caller("", "unknown")


def set_cookie(response: Response, request: HttpRequest, *, agent: Agent, instance_id: str) -> None:
    """Sent only when the caller's cookie does not say the same already."""
    if _read_cookie(request, agent) == instance_id:
        return
    response.set_cookie(
        COOKIE,
        signing.dumps([agent.client_id, agent.public_id, instance_id], salt=_SALT),
        max_age=_YEAR,
        path="/api/agents",
        httponly=True,
        secure=request.is_secure(),  # a plain-HTTP agent would never send a Secure cookie back
        samesite="Strict",
    )


def _read_cookie(request: HttpRequest, agent: Agent) -> str:
    """A missing, forged or foreign cookie means "unknown", never an error."""
    try:
        client_id, agent_id, instance_id = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT)
    except (signing.BadSignature, ValueError):
        return ""
    known_as = {
        agent.public_id,
        getattr(agent, "called_as", agent.public_id),
    }  # an agent merged into this one
    return instance_id if client_id == agent.client_id and agent_id in known_as else ""
