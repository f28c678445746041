"""How long the call at hand has waited for a thread.

Apart from who reads it: gunicorn's master imports this, before it has said where the counters for /metrics are.
"""

from contextvars import ContextVar

# Set by the worker (spotopt.worker) before the request is read; 0 where another server runs the application.
seconds_waited: ContextVar[float] = ContextVar("seconds_waited", default=0.0)
