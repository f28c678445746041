"""Who a log line is about: filled in by the request middleware and the authentication classes."""

import logging
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
client: ContextVar[str] = ContextVar("client", default="")
agent: ContextVar[str] = ContextVar("agent", default="")


def start_request(*, identifier: str) -> None:
    """Gthread workers reuse threads, so the ids of the previous request are wiped here."""
    request_id.set(identifier)
    client.set("")
    agent.set("")


class ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        record.client = client.get()
        record.agent = agent.get()
        return True
