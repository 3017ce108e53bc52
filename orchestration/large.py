"""Lists without large values: a page of two hundred rows must not transfer two hundred whole bodies.

The database measures the values and leaves large ones out, so that they never enter this process. A row that is read by
itself is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Case, F, Func, IntegerField, JSONField, Model, QuerySet, When

# The key of the object that stands for JSON that a list leaves out, so that it cannot be mistaken for the value.
OMITTED = "__orion_omitted__"

Row = TypeVar("Row", bound=Model)


class Bytes(Func):
    """The length of a value in bytes, as text."""

    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="OCTET_LENGTH((%(expressions)s)::text)", **context)


def without_large(rows: QuerySet[Row, Row], *columns: str) -> QuerySet[Row, Row]:
    """Return the rows without too long values in these columns. Read them through `completed`."""
    most = settings.ORION_API_LIST_FIELD_BYTES
    for column in columns:
        rows = rows.annotate(**{f"{column}_bytes": Bytes(F(column))})
        rows = rows.annotate(**{f"{column}_listed": Case(When(**{f"{column}_bytes__lte": most}, then=F(column)))})
    return rows.defer(*columns)


def completed(rows: Sequence[Row], *columns: str) -> Sequence[Row]:
    """Return the rows with a note in place of each value that was left out."""
    most = settings.ORION_API_LIST_FIELD_BYTES
    for row in rows:
        own = row.__dict__
        for column in columns:
            size, value = own.pop(f"{column}_bytes"), own.pop(f"{column}_listed")
            own[column] = value if size is None or size <= most else _note(row, column, size)
    return rows


def _note(row: Model, column: str, size: int) -> Any:
    if isinstance(row._meta.get_field(column), JSONField):
        return {OMITTED: {"bytes": size}}
    return f"({size} bytes, which lists leave out; read it by itself)"
