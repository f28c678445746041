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
        for attempt in range(ATTEMPTS):
            try:
                return func(*args, **kwargs)
            except (OperationalError, IntegrityError) as error:
                code = error.args[0] if error.args else None
                if code not in _LOST_RACE or attempt == ATTEMPTS - 1 or transaction.get_connection().in_atomic_block:
                    raise
                metrics.count_database_error(metrics.DatabaseTrouble.LOST_RACE)
                # At random, or the same ones would meet again.
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 (chance, not cryptography)
        raise AssertionError("unreachable")

    return wrapper


def retried_transaction(func: Callable[P, T]) -> Callable[P, T]:
    """The same for several statements: each attempt is a transaction of its own."""

    @wraps(func)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> T:
        with transaction.atomic():
            return func(*args, **kwargs)

    return retried(in_transaction)


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
