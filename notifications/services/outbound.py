"""A POST to an address that somebody typed in, without lending him this server's place in the network.

The name is resolved once, every address it has must be a public one, and the connection goes to the address that was
checked, so that a second answer of the name server changes nothing. No redirects, no proxies, a limit on time and size.
"""

import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

STEP_SECONDS = 5.0  # connect, or one read
TOTAL_SECONDS = 15.0
MOST_BYTES = 64 * 1024  # of the answer, which nobody reads


class SendingFailed(Exception):
    """The text is for the operator; it holds no address, whose path may be a secret."""


@dataclass(frozen=True)
class Place:
    """Where a request goes: `address` is connected to, `host` is who must answer there."""

    is_secure: bool
    host: str
    port: int
    path: str
    address: str = ""


def place_of(url: str) -> Place:
    """Raises SendingFailed for what cannot be an endpoint, before any name is looked up."""
    try:
        parts: Url = parse_url(url)
    except LocationParseError:
        raise SendingFailed("This is no URL") from None
    if parts.scheme not in ("https", "http") or not parts.host:
        raise SendingFailed("The URL must start with https:// and name a host")
    if parts.auth:
        raise SendingFailed("The URL must not hold a user name or password")
    if parts.scheme == "http" and not settings.WEBHOOK_ALLOW_PRIVATE:
        raise SendingFailed("The URL must start with https://")
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    place = Place(is_secure, parts.host.strip("[]"), port, parts.request_uri)
    with suppress(ValueError):
        _require_public([str(ipaddress.ip_address(place.host))])
    return place


def post(*, url: str, body: bytes, headers: dict[str, str]) -> None:
    """Raises SendingFailed unless the answer is 2xx."""
    place = _resolved(place_of(url))
    connection = _connection(place)
    watchdog = threading.Timer(TOTAL_SECONDS, _abort, [connection])
    watchdog.daemon = True
    watchdog.start()
    try:
        status = _exchange(connection, place, body, headers)
    except ssl.SSLCertVerificationError as error:
        raise SendingFailed(f"The certificate is not trusted: {error.verify_message}") from None
    except (HTTPError, OSError, ValueError) as error:
        raise SendingFailed(_reason(error)) from None
    finally:
        watchdog.cancel()
        connection.close()
    if not 200 <= status < 300:
        raise SendingFailed(f"The endpoint answered {status}")


def _resolved(place: Place) -> Place:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SendingFailed("The host name cannot be resolved") from None
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    _require_public(addresses)
    return Place(place.is_secure, place.host, place.port, place.path, addresses[0])


def _require_public(addresses: list[str]) -> None:
    """All of them: one private address among public ones is somebody trying."""
    if not settings.WEBHOOK_ALLOW_PRIVATE and not all(is_public(address) for address in addresses):
        raise SendingFailed("The host is on a private network (see WEBHOOK_ALLOW_PRIVATE)")


def is_public(address: str) -> bool:
    """Not loopback, private, link-local (where clouds serve credentials), shared, multicast or reserved.

    IPv6 forms that carry an IPv4 address are not public either: what they lead to is up to a gateway.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    return isinstance(ip, ipaddress.IPv4Address) or not (ip.is_site_local or ip.sixtofour or ip.ipv4_mapped)


def _connection(place: Place) -> HTTPConnection:
    if not place.is_secure:
        return HTTPConnection(place.address, place.port, timeout=STEP_SECONDS)
    return HTTPSConnection(
        place.address,
        place.port,
        timeout=STEP_SECONDS,
        ssl_context=ssl.create_default_context(),
        server_hostname=place.host,
        assert_hostname=place.host,
    )


def _exchange(connection: HTTPConnection, place: Place, body: bytes, headers: dict[str, str]) -> int:
    name = f"[{place.host}]" if ":" in place.host else place.host
    is_usual = place.port == (443 if place.is_secure else 80)
    host = name if is_usual else f"{name}:{place.port}"
    connection.request("POST", place.path, body=body, headers=headers | {"Host": host}, preload_content=False)
    response = connection.getresponse()
    response.read(MOST_BYTES)
    return response.status


def _abort(connection: HTTPConnection) -> None:
    """A server that sends a byte every few seconds never runs into the time-out of a single read."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "The endpoint did not answer in time"
    return f"The connection failed ({type(error).__name__})"
