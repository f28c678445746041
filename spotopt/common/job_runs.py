"""Notes how each round of a job went, so that a job that stopped can be seen (`manage status`)."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import Error

from spotopt.common import clock
from spotopt.common.db import retried_transaction, upsert

log = logging.getLogger(__name__)


@dataclass
class Round:
    report: str = ""


@contextmanager
def noted(name: str) -> Iterator[Round]:
    """Around a round, which says in `report` what it did. That it cannot be noted fails no job."""
    this, started_at, began = Round(), clock.now(), time.monotonic()
    succeeded = False
    try:
        yield this
        succeeded = True
    except Exception as error:
        this.report = type(error).__name__  # its text may quote data; the log has it
        raise
    finally:
        facts = {"started_at": started_at, "seconds": round(time.monotonic() - began, 3), "report": this.report[:255]}
        try:
            _note(name, succeeded=succeeded, **facts)
        except Error as error:
            log.warning("the round of %s could not be noted: %s", name, type(error).__name__)


@retried_transaction
def _note(name: str, *, succeeded: bool, **facts: Any) -> None:
    model: Any = apps.get_model("spotopt", "JobRun")
    before = model.objects.filter(name=name).first()
    facts |= {"succeeded": succeeded, "host": socket.gethostname()[:255]}
    facts["failures"] = 0 if succeeded else (before.failures if before else 0) + 1
    facts["last_success_at"] = facts["started_at"] if succeeded else before and before.last_success_at
    upsert(model, [model(name=name, **facts)], key=["name"], update=list(facts))
