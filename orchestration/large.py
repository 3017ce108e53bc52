"""Lists without what is large: a page of two hundred rows must not take what two hundred whole bodies take.

The database measures and leaves out, so that nothing of it comes into this process. Read by itself, a row is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Case, F, Func, IntegerField, JSONField, Model, QuerySet, When

# In the place of JSON that a list leaves out: nobody takes it for the value.
OMITTED = "__orion_omitted__"

Row = TypeVar("Row", bound=Model)


class Bytes(Func):
    """How long a value is when it is written out."""

    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="OCTET_LENGTH((%(expressions)s)::text)", **context)


def without_large(rows: QuerySet[Row, Row], *columns: str) -> QuerySet[Row, Row]:
    """The rows, to be read through `completed`, without what in these columns is longer than lists may show."""
    most = settings.ORION_API_LIST_FIELD_BYTES
    for column in columns:
        rows = rows.annotate(**{f"{column}_bytes": Bytes(F(column))})
        rows = rows.annotate(**{f"{column}_listed": Case(When(**{f"{column}_bytes__lte": most}, then=F(column)))})
    return rows.defer(*columns)


def completed(rows: Sequence[Row], *columns: str) -> Sequence[Row]:
    """The rows with a note in the place of each value that was left out."""
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
