"""How many streams this process has open, told to all others through a table: /api/events/stats adds them up."""

import logging
import time
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import DatabaseError

from notifications.models import StreamProcess
from notifications.stream.subscription import Audience
from spotopt.common import clock

log = logging.getLogger(__name__)

SHORTEST_PAUSE = 1.0  # seconds between two changes that are told
RENEW_SECONDS = 20.0
GONE_AFTER = timedelta(seconds=60)


class Presence:
    def __init__(self) -> None:
        self._process_id = uuid.uuid4().hex
        self._told: dict[str, Any] = {}
        self._told_at = 0.0

    def tell(self, audiences: Iterable[Audience]) -> None:
        """When something changed, and every RENEW_SECONDS. Statistics are worth no failure."""
        people = list(audiences)
        ids = sorted({audience.client_id for audience in people if audience.client_id})
        state: dict[str, Any] = {"connections": len(people), "client_ids": ids}
        age = time.monotonic() - self._told_at
        if age < SHORTEST_PAUSE or (state == self._told and age < RENEW_SECONDS):
            return
        self._told, self._told_at = state, time.monotonic()
        try:
            renewed = state | {"seen_at": clock.now()}
            StreamProcess.objects.update_or_create(process_id=self._process_id, defaults=renewed)
            StreamProcess.objects.filter(seen_at__lt=clock.now() - 10 * GONE_AFTER).delete()
        except DatabaseError:
            log.warning("the number of event streams could not be told", exc_info=True)

    def withdraw(self) -> None:
        try:
            StreamProcess.objects.filter(process_id=self._process_id).delete()
        except DatabaseError:
            log.warning("the number of event streams could not be told", exc_info=True)


def open_streams() -> dict[str, Any]:
    """Of all processes that were heard within GONE_AFTER."""
    heard = StreamProcess.objects.filter(seen_at__gt=clock.now() - GONE_AFTER)
    rows = list(heard.values_list("connections", "client_ids"))
    clients = sorted({client_id for _, ids in rows for client_id in ids})
    return {"active_connections": sum(count for count, _ in rows), "client_ids": clients}
