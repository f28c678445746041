"""A queryset whose SQL is built once, for the one look-up that stands before every call of every agent."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import connections, models
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True)
class _Plan:
    sql: str
    params: Sequence[Any]
    slots: Mapping[Any, int]  # placeholder → which of the given texts goes there
    compiler: Any
    names: Sequence[str]  # of the model's fields, from column `start` on
    start: int
    converters: Any
    populators: Any


class Compiled(Generic[M]):
    """The first row of `build(*texts)`, a queryset that depends on nothing but these texts.

    Building a statement with two counting subqueries costs Django several times the CPU that the database needs to
    answer it (`bench_fleet` shows what that is worth). So it is built once per thread, and later calls only
    fill in their values. What the rows mean stays in the querysets: there is no SQL here.
    """

    def __init__(self, build: Callable[..., models.QuerySet[M]]) -> None:
        self._build = build
        self._local = threading.local()

    def first(self, *texts: str) -> M | None:
        plan = self._plan(len(texts))
        params = [texts[plan.slots[p]] if p in plan.slots else p for p in plan.params]
        with connections[plan.compiler.using].cursor() as cursor:
            cursor.execute(plan.sql, params)
            row = cursor.fetchone()
        return _as_object(plan, row) if row else None

    def _plan(self, number: int) -> _Plan:
        plans: dict[int, _Plan] = self._local.__dict__.setdefault("plans", {})
        if number not in plans:
            plans[number] = _compile(self._build, number)
        return plans[number]


def _compile(build: Callable[..., models.QuerySet[Any]], number: int) -> _Plan:
    texts = [f"\ue000{n}" for n in range(number)]  # a private character: never a constant of a query
    queryset = build(*texts)
    compiler = queryset.query.get_compiler(using=queryset.db)
    sql, params = compiler.as_sql()
    fields = compiler.klass_info["select_fields"]
    start, end = fields[0], fields[-1] + 1
    return _Plan(
        sql=sql,
        params=params,
        slots={text: n for n, text in enumerate(texts)},
        compiler=compiler,
        names=[column[0].target.attname for column in compiler.select[start:end]],
        start=start,
        converters=compiler.get_converters([column[0] for column in compiler.select[: compiler.col_count]]),
        populators=get_related_populators(compiler.klass_info, compiler.select, queryset.db),  # type: ignore[call-arg]
    )


def _as_object(plan: _Plan, row: Sequence[Any]) -> Any:
    """What QuerySet's ModelIterable does with a row."""
    compiler = plan.compiler
    row = next(compiler.apply_converters([row], plan.converters))
    values = row[plan.start : plan.start + len(plan.names)]
    found = compiler.klass_info["model"].from_db(compiler.using, plan.names, values)
    for populator in plan.populators:
        populator.populate(row, found)
    for name, position in (compiler.annotation_col_map or {}).items():
        setattr(found, name, row[position])
    return found
