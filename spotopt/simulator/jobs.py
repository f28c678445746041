"""Runs management commands for the simulator, one JSON line in, one out, so that Django starts only once.

A process of its own: `python -m spotopt.simulator.jobs`, with the server's environment.
"""

import io
import json
import sys
import time
from typing import Any


def main() -> None:
    import django

    django.setup()
    from django.core.management import get_commands
    from django.db import close_old_connections

    replies, sys.stdout = sys.stdout, sys.stderr  # nothing but answers on the pipe
    known = get_commands()
    for line in sys.stdin:
        request = json.loads(line)
        started = time.monotonic()
        answer = _run(request) if request["name"] in known else {"ok": False, "missing": True, "output": ""}
        answer["seconds"] = time.monotonic() - started
        close_old_connections()
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


def _run(request: dict[str, Any]) -> dict[str, Any]:
    from django.core.management import call_command

    output = io.StringIO()
    try:
        call_command(request["name"], *request["arguments"], stdout=output)
    except Exception as error:  # the simulator reports it; the next command starts afresh
        return {"ok": False, "output": f"{type(error).__name__}: {error}"}
    return {"ok": True, "output": output.getvalue()}


if __name__ == "__main__":
    main()
