"""Single-use tickets for event streams, valid in every process (dashboard-api 2.9)."""

import secrets
from datetime import timedelta

from clients.models import Client
from clients.principals import Principal
from notifications.models import StreamTicket
from spotopt.common import clock, crypto

LIFETIME = timedelta(seconds=60)


def issue(*, who: Principal) -> tuple[str, StreamTicket]:
    """The ticket, which is not stored, and its row."""
    now = clock.now()
    StreamTicket.objects.filter(expires_at__lt=now).delete()
    ticket = secrets.token_urlsafe(32)
    row = StreamTicket.objects.create(
        ticket_hash=crypto.token_hashes(ticket)[0],
        client=who.client,
        operator="" if who.client else who.name,
        expires_at=now + LIFETIME,
    )
    return ticket, row


def redeem(*, ticket: str) -> Principal | None:
    """Whose it is; None when it is unknown, too old or used. Of two calls with one ticket, one gets in."""
    rows = StreamTicket.objects.filter(ticket_hash__in=crypto.token_hashes(ticket), expires_at__gt=clock.now())
    row = rows.select_related("client").first()
    if row is None or not StreamTicket.objects.filter(pk=row.pk).delete()[0]:
        return None
    return _principal(row.client, row.operator)


def _principal(client: Client | None, operator: str) -> Principal:
    return Principal(client=client) if client else Principal(name=operator)
