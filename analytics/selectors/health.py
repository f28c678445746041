"""GET /api/admin/system-health (dashboard-api 2.2): answers whatever is broken, or the page would drop all it loads."""

import logging
from typing import Any

from django.db import Error, connection

from decisions.selectors import engine_status
from spotopt.common import clock

log = logging.getLogger(__name__)

UNKNOWN_POOL = "n/a"


def system_health() -> dict[str, Any]:
    status = engine_status()
    is_connected, pool = _database()
    return {
        "apiStatus": "Healthy",
        "database": "Connected" if is_connected else "Disconnected",
        "decisionEngine": "Loaded" if status["decisionEngineStatus"]["loaded"] else "Not Loaded",
        "connectionPool": pool,
        "timestamp": clock.isoformat(clock.now()),
    } | status


def _database() -> tuple[bool, str]:
    """Does it answer, and the connections of its server that are in use, of all it takes."""
    try:
        with connection.cursor() as cursor:
            if connection.vendor != "mysql":
                cursor.execute("SELECT 1")
                return True, UNKNOWN_POOL
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
            used = cursor.fetchone()[1]
            cursor.execute("SELECT @@max_connections")
            return True, f"{used}/{cursor.fetchone()[0]}"
    except Error as error:
        log.warning("system-health: the database does not answer: %s", type(error).__name__)
        return False, UNKNOWN_POOL
