"""Guessing passwords at the operators' login: a few tries, then a pause.

Counted in the database, so for all processes together, in windows of a quarter of an hour. Each try counts before
the password is looked at, so parallel tries do not slip through; success forgets the caller's failures.
"""

import hashlib
import hmac
import ipaddress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import HttpRequest

from clients import audit
from clients.models import LoginFailures
from clients.ratelimit import OncePerMinute
from spotopt.common import clock
from spotopt.common.addresses import peer_address
from spotopt.common.db import retried_transaction

WINDOW = timedelta(minutes=15)
TRIES = {  # in the order they count: what one stops does not count for the next
    "address": 20,  # an office behind one address has several forgetful people
    "user at address": 5,
    "user": 100,  # from many addresses; high, or strangers could lock an operator out with a few tries
}
_reports = OncePerMinute()


class LoginForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        request: Any = self.request
        username = self.cleaned_data.get("username")
        if not username or not self.cleaned_data.get("password"):
            return super().clean()
        tried = subjects(username=username, address=_network(peer_address(request)))
        if exceeded := count(tried):
            _report(request, exceeded)
            minutes = round(WINDOW.total_seconds() / 60)
            raise ValidationError(
                f"Too many failed attempts. Signing in is blocked for up to {minutes} minutes.", code="blocked"
            )
        cleaned: dict[str, Any] = super().clean()
        forgive(tried)
        return cleaned


def subjects(*, username: str, address: str) -> dict[str, str]:
    """Who tries, as the keyed hashes under which tries are counted."""
    user = username.casefold()
    texts = {"address": address, "user at address": f"{user}@{address}", "user": user}
    return {kind: _hashed(f"{kind}:{text}") for kind, text in texts.items()}


@retried_transaction
def count(tried: dict[str, str]) -> str:
    """Counts one try. The kind of limit it exceeds, "" if none."""
    now = clock.now()
    for kind, most in TRIES.items():
        row = LoginFailures.objects.filter(subject=tried[kind])
        row.filter(since__lte=now - WINDOW).update(failures=0, since=now)
        if not row.update(failures=F("failures") + 1):
            LoginFailures.objects.create(subject=tried[kind], failures=1, since=now)
        if row.get().failures > most:
            return kind
    return ""


@retried_transaction
def forgive(tried: dict[str, str]) -> None:
    """After success: the caller's own failures are forgotten, and this try counts for nobody."""
    LoginFailures.objects.filter(subject=tried["user at address"]).update(failures=0)
    others = [tried["address"], tried["user"]]
    LoginFailures.objects.filter(subject__in=others, failures__gt=0).update(failures=F("failures") - 1)


def _report(request: HttpRequest, kind: str) -> None:
    peer = peer_address(request)
    if _reports.allows((peer, kind)):
        audit.record(
            event_type="auth_failed",
            severity="warning",
            message=f"Too many failed sign-ins by the same {kind}, from {peer}",
            metadata={"peer": peer, "path": request.path},
        )


def _network(address: str) -> str:
    """One IPv6 customer has a /64 of addresses."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else address


def _hashed(text: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
