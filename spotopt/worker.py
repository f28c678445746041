"""Gunicorn's threads, which in addition know how long each request has waited for one of them."""

import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from spotopt.common.waiting import seconds_waited


class Worker(ThreadWorker):
    def enqueue_req(self, conn: Any) -> None:
        conn.queued_at = time.monotonic()
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        seconds_waited.set(time.monotonic() - conn.queued_at)
        return super().handle(conn)
