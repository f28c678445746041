"""Whose address a request comes from: a header counts only where a proxy of ours wrote it."""

import pytest
from django.test import RequestFactory

from spotopt.common.addresses import peer_address


def seen(remote, forwarded=None):
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return peer_address(RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers))


@pytest.fixture(autouse=True)
def proxies(settings):
    settings.TRUSTED_PROXIES = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # anyone can write the header
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1, 10.0.0.5", "198.51.100.1"),  # two proxies of ours
        ("127.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),  # what the caller itself wrote stands left
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("", "198.51.100.1", ""),  # a Unix socket
    ],
)
def test_the_last_address_that_no_proxy_of_ours_has(remote, forwarded, address):
    assert seen(remote, forwarded) == address


def test_without_trusted_proxies_the_header_means_nothing(settings):
    settings.TRUSTED_PROXIES = []
    assert seen("127.0.0.1", "198.51.100.1") == "127.0.0.1"
