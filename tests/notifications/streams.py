"""Event streams without a network: a hub whose rounds the test runs, and what a browser would make of the bytes."""

import json
from dataclasses import dataclass

from django.core.signals import request_finished
from django.db import close_old_connections

from notifications.stream.subscription import Audience, Subscription


@dataclass(frozen=True)
class Frame:
    name: str
    data: dict
    id: str | None


def parse(text):
    """The frames of `text` (bytes or str); comments and retry lines are left out."""
    text = text.decode() if isinstance(text, bytes) else text
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append(Frame(fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found


class Listener:
    """`received()` runs a round of the hub and gives the new frames, without the two that say hello."""

    def __init__(self, hub, subscription):
        self.hub, self.subscription = hub, subscription

    def everything(self):
        self.hub.run_round()
        return parse(self.subscription.take() or b"")

    def received(self):
        return [frame for frame in self.everything() if frame.name.lower() not in ("connected", "heartbeat")]

    def messages(self):
        return [frame.data["data"]["message"] for frame in self.received() if frame.name == "NOTIFICATION"]

    @property
    def is_ended(self):
        return self.subscription.is_ended


def listen(hub, client=None, *, last=None, by_token=True, greet=True):
    """Open a stream of `client`, or of everybody; it has joined when this returns."""
    token_hash = client.token_hash if client and by_token else ""
    audience = Audience(client.pk, client.public_id, token_hash) if client else Audience()
    subscription = Subscription(audience=audience, last_event_id=last, lifetime_seconds=3600, retry_seconds=3)
    hub.admit(subscription, limit=1000)
    hub._joining.append(subscription)  # `join` would start the thread
    hub.run_round()
    if greet:
        subscription.take()
    return Listener(hub, subscription)


def hang_up(response):
    """Close a stream of the test client without the end of a request, which would close a test's connection."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)
