import ipaddress
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest


def peer_address(request: HttpRequest) -> str:
    """The caller's address; X-Forwarded-For counts only where a proxy in TRUSTED_PROXIES wrote it."""
    address: str = request.META.get("REMOTE_ADDR", "")
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not _is_trusted(address) or not hop.strip():
            break
        address = hop.strip()
    return address


def is_within(address: str, networks: Iterable[str]) -> bool:
    """False for what is no address or no network."""
    try:
        ip = ipaddress.ip_address(address)
        return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)
    except ValueError:
        return False


def is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    return is_within(address, ["127.0.0.0/8", "::1"])


def _is_trusted(address: str) -> bool:
    return is_within(address, settings.TRUSTED_PROXIES)
