"""How long the call at hand has waited for a thread, and which kinds of calls there are.

Apart from who uses it: gunicorn's master imports this, before it has said where the counters for /metrics are.
"""

from contextvars import ContextVar
from enum import StrEnum


class Kind(StrEnum):
    PEOPLE = "people"
    REPEATED = "repeated"  # prices and decisions: the next ones come in minutes
    POLL = "poll"
    NEEDED = "needed"  # never refused


# Set by the worker (spotopt.worker) before the request is read; 0 where another server runs the application.
seconds_waited: ContextVar[float] = ContextVar("seconds_waited", default=0.0)
