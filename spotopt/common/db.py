"""Database idioms that read the same on SQLite, MariaDB and MySQL."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import IntegrityError, OperationalError, connections, models, transaction

from spotopt.common import metrics

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 6  # within a second altogether
# Lock wait timeout and deadlock: the transaction was rolled back whole. Duplicate key: somebody inserted it since we
# looked, and the next look finds it. Either way it may run again.
_LOST_RACE = {1205, 1213, 1062}
# The server ended, the way to it was cut, or the node lost its cluster (Galera). No agent repeats a report (agent-api
# 1.2), so what was not committed is begun anew on another connection; through HAProxy that is another node.
_LOST_CONNECTION = {1047, 2006, 2013}
LOST_WITHIN_SECONDS = 2.0  # not after a statement that hung until its time limit


class _Undone(OperationalError):
    """The connection was lost before anything was committed."""


class ExactCharField(models.CharField):
    """Text compared byte for byte: MySQL's default collation would take `Web-1` and `web-1` for the same."""

    def db_parameters(self, connection: Any) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


def retried(func: Callable[P, T]) -> Callable[P, T]:
    """Repeat `func` when it lost a race in the database. For single statements.

    Inside a transaction it is a plain call: only the outermost door may start over.
    """

    @wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        began = time.monotonic()
        for attempt in range(ATTEMPTS):
            try:
                return func(*args, **kwargs)
            except (OperationalError, IntegrityError) as error:
                is_undone = isinstance(error, _Undone) and time.monotonic() - began < LOST_WITHIN_SECONDS
                is_worth_another = is_undone or _code(error) in _LOST_RACE
                connection = transaction.get_connection()
                if not is_worth_another or attempt == ATTEMPTS - 1 or connection.in_atomic_block:
                    raise
                if is_undone:
                    connection.close()
                else:
                    metrics.count_database_error(metrics.DatabaseTrouble.LOST_RACE)
                # At random, or the same ones would meet again.
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 (chance, not cryptography)
        raise AssertionError("unreachable")

    return wrapper


def retried_transaction(func: Callable[P, T]) -> Callable[P, T]:
    """The same for several statements: each attempt is a transaction of its own."""

    @wraps(func)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> T:
        is_committing = False
        try:
            with transaction.atomic():
                result = func(*args, **kwargs)
                is_committing = True
            return result
        except OperationalError as error:
            if is_committing or _code(error) not in _LOST_CONNECTION:
                raise  # lost at the commit, it may have been carried out
            raise _Undone(*error.args) from error

    return retried(in_transaction)


def _code(error: Exception) -> object:
    return error.args[0] if error.args else None


def upsert(
    model: type[models.Model], rows: Iterable[Any], *, key: Sequence[str], update: Sequence[str], batch_size: int = 500
) -> list[Any]:
    """One statement per batch on SQLite and MySQL alike (MySQL refuses unique_fields, SQLite demands it)."""
    manager = model._default_manager
    features = connections[manager.db].features
    target: dict[str, Any] = {"unique_fields": list(key)} if features.supports_update_conflicts_with_target else {}
    return manager.bulk_create(rows, batch_size=batch_size, update_conflicts=True, update_fields=list(update), **target)


def delete_in_batches(
    queryset: models.QuerySet[Any],
    *,
    batch_size: int = 1000,
    pause: float = 0.05,
    on_batch: Callable[[int], None] | None = None,
) -> int:
    """By primary key, a batch per transaction: short locks, portable SQL (MySQL has no LIMIT inside IN)."""
    total = 0
    while pks := list(queryset.order_by("pk").values_list("pk", flat=True)[:batch_size]):
        deleted = queryset.model._default_manager.filter(pk__in=pks).delete()[0]
        total += deleted
        if on_batch:
            on_batch(deleted)
        time.sleep(pause)
    return total
