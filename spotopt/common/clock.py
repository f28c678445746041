"""The one clock of the server: real UTC time, or simulated time shared by several processes."""

import mmap
import struct
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import timezone


def now() -> datetime:
    """Aware UTC time; all server code asks here."""
    if settings.SIMULATED_CLOCK_FILE:
        return datetime.fromtimestamp(_simulated_seconds(), UTC)
    return timezone.now()


def machine_now() -> datetime:
    """Aware UTC time of this machine, never simulated: for what is about processes and files, not about the fleet."""
    return timezone.now()


def isoformat(at: datetime | None) -> str | None:
    """`2025-01-05T10:00:00Z` (milliseconds only where there are any); None stays None."""
    if at is None:
        return None
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def _simulated_seconds() -> float:
    return float(struct.unpack("<d", _clock_file(settings.SIMULATED_CLOCK_FILE)[:8])[0])


@lru_cache(maxsize=1)
def _clock_file(path: str) -> Any:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
