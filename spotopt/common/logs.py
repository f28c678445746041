"""Who a log line is about, and what may never stand in one.

The ids are filled in by the request middleware and the authentication classes.
"""

import logging
import re
import uuid
from contextvars import ContextVar

from django.conf import settings
from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="")
client: ContextVar[str] = ContextVar("client", default="")
agent: ContextVar[str] = ContextVar("agent", default="")

# Tokens of this server and of the old one, and whatever a header line would carry.
_SECRET = re.compile(r"token-[0-9A-Za-z]{8,}|\b[0-9a-fA-F]{64}\b|(?<=\bBearer )[^\s\"'\\]+")


def start_request(*, identifier: str = "") -> None:
    """Gthread workers reuse threads, so the ids of the previous request are wiped here."""
    request_id.set(identifier or uuid.uuid4().hex[:16])
    client.set("")
    agent.set("")


def redact(text: str) -> str:
    """The last net, for tokens that end up in addresses, header errors and tracebacks."""
    return _SECRET.sub("[secret]", text.replace(settings.ADMIN_TOKEN, "[secret]"))


class ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        record.client = client.get()
        record.agent = agent.get()
        return True


class RedactingJsonFormatter(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
