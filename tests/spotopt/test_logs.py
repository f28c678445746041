import json
import logging

import pytest
from django.conf import settings

from spotopt.common import logs

TOKEN = "token-" + "a1" * 16


def formatted(message, *args, exc_info=None, **extra):
    record = logging.LogRecord("spotopt.test", logging.INFO, __file__, 1, message, args, exc_info)
    vars(record).update(extra)
    logs.ContextFilter().filter(record)
    options = settings.LOGGING["formatters"]["json"]
    formatter = logs.RedactingJsonFormatter(options["format"], rename_fields=options["rename_fields"])
    return formatter.format(record)


def test_a_line_is_json_and_says_who_it_is_about():
    logs.start_request(identifier="r1")
    logs.client.set("c1")
    logs.agent.set("a1")
    line = json.loads(formatted("%s done", "work", ms=3))
    expected = {"level": "INFO", "logger": "spotopt.test", "message": "work done", "ms": 3}
    assert expected | {"request_id": "r1", "client": "c1", "agent": "a1"} == {k: line[k] for k in line if k != "time"}


def test_a_new_request_forgets_whom_the_last_one_was_about():
    logs.client.set("c1")
    logs.start_request(identifier="r2")
    assert json.loads(formatted("x"))["client"] == ""


@pytest.mark.parametrize("secret", [TOKEN, "ab" * 32, "AB" * 32, settings.ADMIN_TOKEN])
def test_a_token_in_a_message_is_blacked_out(secret):
    assert secret not in formatted("not found: /api/x/%s/y", secret)
    assert secret not in formatted("x", path=f"/api/{secret}")


def test_a_token_in_a_traceback_is_blacked_out():
    try:
        raise ValueError(f"bad header: Bearer opaque-{TOKEN}")
    except ValueError as error:
        line = formatted("crashed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError" in line
    assert "opaque" not in line
