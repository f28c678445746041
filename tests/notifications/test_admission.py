"""The ASGI unit begins so many requests at once, and streams that are open do not count."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from spotopt.asgi import BEGUN_AT_ONCE, Admission


def run_apart(coroutine):
    """In a thread of its own: browser tests leave an event loop behind in the main one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


def test_requests_begin_a_few_at_a_time_and_open_streams_hold_no_place():
    beginning, most, streaming = 0, 0, 0
    may_end = asyncio.Event()

    async def app(scope, receive, send):
        nonlocal beginning, most, streaming
        beginning += 1
        most = max(most, beginning)
        await asyncio.sleep(0)  # whoever else may begin does so here
        beginning -= 1
        await send({"type": "http.response.start"})
        streaming += 1
        if streaming == 5 * BEGUN_AT_ONCE:
            may_end.set()
        await may_end.wait()

    async def send(message):
        pass

    async def run():
        unit = Admission(app)
        await asyncio.wait_for(
            asyncio.gather(*(unit({"type": "http"}, None, send) for _ in range(5 * BEGUN_AT_ONCE))), 10
        )

    run_apart(run())
    assert most == BEGUN_AT_ONCE


def test_a_request_that_crashes_gives_its_place_back():
    async def app(scope, receive, send):
        raise RuntimeError

    async def run():
        unit = Admission(app)
        for _ in range(2 * BEGUN_AT_ONCE):
            await asyncio.gather(asyncio.wait_for(unit({"type": "http"}, None, None), 1), return_exceptions=True)

    run_apart(run())
