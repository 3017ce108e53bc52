"""How far back one request of a search reads: so many rows at most, and so many bytes of what it looks into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Count, F, Func, IntegerField, Model, Q, QuerySet, Sum, Window
from django.db.models.expressions import RowRange
from django.db.models.functions import Coalesce

from runs.pages.selectors.keyset import Cursor

BY = "expected_start_time"
# As they are stored. PostgreSQL compresses long values.
BYTES_SEARCHED = 32_000_000

M = TypeVar("M", bound=Model)


class StoredBytes(Func):
    """The length of a value as it is stored; PostgreSQL knows it without reading the value."""

    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="LENGTH(CAST(%(expressions)s AS BLOB))", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="PG_COLUMN_SIZE", **context)


@dataclass(frozen=True, slots=True)
class Reach:
    """The time down to which rows are searched if there are older ones, and whether large parameters are the reason."""

    end: datetime | None
    is_short: bool = False


def reach_of(rows: QuerySet[M], after: Cursor | None, *, share: float, most: int, parameters: str) -> Reach:
    """Return how far back one request searches `rows`, a part of all rows with this share of what may be read.

    It may read `most` rows, and BYTES_SEARCHED of `parameters`, the column that it looks into, if there is one. One
    query.
    """
    if after:
        rows = rows.filter(**{f"{BY}__lt": after.at})
    if parameters:
        found = beyond(rows, share=share, most=most, parameters=parameters).values_list(BY, "bytes_read")
        return next((Reach(at, size > int(BYTES_SEARCHED * share)) for at, size in found), Reach(None))
    # Only the time is selected, so that the index is enough to skip the rows.
    times = rows.order_by(f"-{BY}").values_list(BY, flat=True)
    number = int(most * share)
    return Reach(next(iter(times[number : number + 1]), None))


def ended_short(reaches: Sequence[Reach], after: Cursor | None) -> bool:
    """Whether large parameters are the reason that a search ended at the cursor."""
    return after is not None and any(one.is_short and one.end == after.at for one in reaches)


def beyond(rows: QuerySet[M], *, share: float, most: int, parameters: str) -> QuerySet[Any]:
    """Return the newest row with which one request would have read more than its share of rows or bytes.

    Both databases read the rows in the order of the window, and stop at this one. They would not if the answer was to
    be in an order.
    """
    newest: Any = {"order_by": F(BY).desc(), "frame": RowRange(end=0)}
    counted = rows.order_by().annotate(
        # A task run without a flow run has no parameters.
        bytes_read=Window(Sum(Coalesce(StoredBytes(F(parameters)), 0)), **newest),
        rows_read=Window(Count("pk"), **newest),
    )
    is_beyond = Q(bytes_read__gt=int(BYTES_SEARCHED * share)) | Q(rows_read__gt=int(most * share))
    return counted.filter(is_beyond)[:1]
