"""For the event unit (deploy/spotopt-events.service): the whole application, but only event streams belong here."""

import asyncio
import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotopt.settings")

BEGUN_AT_ONCE = 16  # requests; each has a thread, and so a database connection, until its response starts


class Admission:
    """After a restart all streams come back at once, and must not all ask the database at once who they are."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._places = asyncio.Semaphore(BEGUN_AT_ONCE)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._places.acquire()
        has_place = True

        def give_back() -> None:
            nonlocal has_place
            if has_place:
                has_place = False
                self._places.release()

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                give_back()
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            give_back()


application = Admission(get_asgi_application())
