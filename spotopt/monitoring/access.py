"""Who may read /metrics: METRICS_TOKEN opens it, and so does METRICS_NETWORKS; without both, only this machine."""

from django.conf import settings
from django.http import HttpRequest
from django.http.request import split_domain_port

from spotopt.common import crypto
from spotopt.common.addresses import is_loopback, is_within, peer_address

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_WRITTEN_BY_PROXIES = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")


def may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN and _has_token(request):
        return True
    if settings.METRICS_NETWORKS:
        return _is_from_network(request)
    return not settings.METRICS_TOKEN and _is_from_this_machine(request)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and crypto.is_same(token.strip(), settings.METRICS_TOKEN)


def _is_from_network(request: HttpRequest) -> bool:
    """A proxy that is not in TRUSTED_PROXIES hides who is calling: then nobody is let in for their address."""
    is_hidden = _came_through_proxy(request) and not is_within(_neighbour(request), settings.TRUSTED_PROXIES)
    return not is_hidden and is_within(peer_address(request), settings.METRICS_NETWORKS)


def _is_from_this_machine(request: HttpRequest) -> bool:
    """Not what a proxy beside us passes on; and not a browser here that a page's DNS sends to us, hence the name."""
    name, _ = split_domain_port(request.get_host())
    return name in _LOCAL_NAMES and is_loopback(_neighbour(request)) and not _came_through_proxy(request)


def _neighbour(request: HttpRequest) -> str:
    address: str = request.META.get("REMOTE_ADDR", "")
    return address


def _came_through_proxy(request: HttpRequest) -> bool:
    return any(name in request.headers for name in _WRITTEN_BY_PROXIES)
