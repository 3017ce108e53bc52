"""Queries of the ORM that are compiled once, and then executed with other values.

Django takes several times as long to build a short query as the database to execute it, and agents cause the same dozen
again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection, connections
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler

from orchestration.tables import dialect

Row = TypeVar("Row")
Statement = tuple[str, tuple[Any, ...]]

_MOST_SHAPES = 64
# A query with a longer list is not kept: such lengths seldom occur twice.
_LONGEST = 50
_FIRST_MOMENT = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Stands for values that may differ from one execution to the next: `length` ids, one id, or one moment."""

    kind: type[UUID] | type[datetime]
    length: int | None = None


_NO_IDS, _ONE_ID = _Shape(UUID, 0), _Shape(UUID, 1)


@dataclass(frozen=True, slots=True)
class _Ready:
    rows: QuerySet[Any, Any]
    compiler: SQLCompiler
    sql: str
    params: tuple[Any, ...]
    # The indexes in `params` of values that are replaced, each with the index of the value.
    replaced: tuple[tuple[int, int], ...]

    def params_with(self, values: Sequence[Any]) -> tuple[Any, ...]:
        params = list(self.params)
        for index, value in self.replaced:
            params[index] = values[value]
        return tuple(params)


class Compiled(Generic[Row]):
    """A queryset as a function of values. UUIDs, lists of them and datetimes may differ without another compilation.

    All other values, and the lengths of lists, belong to the SQL: for each new combination it is compiled again.
    `build` must pass the values on as they are, and must not decide anything by them.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Row]]) -> None:
        self._build = build
        self._ready = lru_cache(maxsize=_MOST_SHAPES)(self._compile)

    def __call__(self, *values: Any) -> list[Row]:
        """Execute the query, and return its rows."""
        if any(isinstance(value, list) and len(value) > _LONGEST for value in values):
            return list(self._build(*values))
        ready = self._ready(*map(_shape_of, values))
        if ready is None:
            return []
        params = ready.params_with(_adapted(values))
        rows, compiler = ready.rows.all(), copy(ready.compiler)
        # Connections belong to threads, and a list may be read from the replica.
        compiler.using, compiler.connection = rows.db, connections[rows.db]
        compiler.as_sql = lambda *_, **__: (ready.sql, params)  # type: ignore[method-assign]
        rows.query.get_compiler = lambda *_, **__: compiler  # type: ignore[method-assign]
        return list(rows)

    def statement(self, *values: Any) -> Statement:
        """Return the SQL and its parameters. Raises EmptyResultSet if the query can have no rows."""
        if any(isinstance(value, list) and len(value) > _LONGEST for value in values):
            return self._build(*values).query.sql_with_params()
        ready = self._ready(*map(_shape_of, values))
        if ready is None:
            raise EmptyResultSet
        return ready.sql, ready.params_with(_adapted(values))

    def _compile(self, *shapes: Any) -> _Ready | None:
        marks = _Marks()
        rows = self._build(*map(marks.of, shapes))
        compiler = rows.query.get_compiler(connection=connection)
        try:
            sql, params = compiler.as_sql()
        except EmptyResultSet:
            return None
        replaced = tuple(marks.found_in(params))
        if _NO_IDS in shapes:
            # Django leaves out a condition with an empty list, and other values in it. So check the query with one id.
            self._ready(*(_ONE_ID if shape == _NO_IDS else shape for shape in shapes))
        else:
            marks.refuse_lost(replaced)
        return _Ready(rows, compiler, sql, tuple(params), replaced)


class _Marks:
    """Values that occur nowhere else, whose positions among the parameters show where others belong."""

    def __init__(self) -> None:
        self._made: list[UUID | datetime] = []

    def of(self, shape: Any) -> Any:
        if not isinstance(shape, _Shape):
            return shape
        if shape.length is None:
            return self._new(shape.kind)
        return [self._new(shape.kind) for _ in range(shape.length)]

    def found_in(self, params: Sequence[Any]) -> Iterator[tuple[int, int]]:
        # The ORM leaves some conversions to the connection.
        forms = (self._made, dialect().write(self._made))
        made: dict[Any, int] = {mark: number for form in forms for number, mark in enumerate(form)}
        kinds = {type(mark) for mark in made}
        for index, param in enumerate(params):
            if type(param) in kinds and (number := made.get(param)) is not None:
                yield index, number

    def refuse_lost(self, replaced: Iterable[tuple[int, int]]) -> None:
        """Raise ValueError if a value is not among the parameters, because later ones could not replace it."""
        if lost := set(range(len(self._made))).difference(number for _, number in replaced):
            raise ValueError(f"A compiled query leaves out values: {[self._made[one] for one in sorted(lost)]}")

    def _new(self, kind: type[UUID] | type[datetime]) -> UUID | datetime:
        number = len(self._made) + 1
        mark = UUID(int=number) if kind is UUID else _FIRST_MOMENT + timedelta(days=1, microseconds=number)
        self._made.append(mark)
        return mark


def _shape_of(value: Any) -> Any:
    if isinstance(value, UUID):
        return _Shape(UUID)
    if isinstance(value, datetime):
        return _Shape(datetime)
    if isinstance(value, list):
        if not all(isinstance(one, UUID) for one in value):
            raise TypeError("A compiled query takes lists of UUIDs alone.")
        return _Shape(UUID, len(value))
    return value


def _adapted(values: Sequence[Any]) -> list[Any]:
    """Return the values that replace marks, as the database expects them."""
    flat: list[Any] = []
    for value in values:
        if isinstance(value, list):
            flat += value
        elif isinstance(value, UUID | datetime):
            flat.append(value)
    return dialect().write(flat)
