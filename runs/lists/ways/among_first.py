"""Many runs, where SQLite would sort all of them: they are sought among the first runs of the list.

With LIMIT, too, SQLite's planner prefers the index of a condition to that of the order, and then sorts all that match.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from orchestration.reading import reader
from orchestration.tables import dialect
from runs.lists.filters.searches import Ids
from runs.lists.ways.list_request import ListRequest

# Among this many times as many first runs as the page needs, and only for rows up to the second limit.
SOUGHT, FARTHEST_SOUGHT = (5, 50), 1_000
# A line of SQLite's query plans that read and sort all matching rows before returning the first.
SORTED_WHOLE = "USE TEMP B-TREE FOR ORDER BY"


def ids_of_page(request: ListRequest) -> Ids | None:
    if not request.is_for_some:
        return None
    found = ids_among_first(request.in_order(request.matching), request.in_order(request.runs), request.rows)
    return None if found is None else request.in_order(request.runs.filter(pk__in=found))[request.rows]


def ids_among_first(ids: QuerySet[Any, Any], whole: QuerySet[Any, Any], rows: slice) -> list[UUID] | None:
    """Return the ids up to the end of a page, if they are found among the first ids of the whole list; otherwise None.

    None also where the order of the whole list has no index, and where SQLite reads the matching rows in their order.
    """
    if connection.vendor != "sqlite" or rows.stop > FARTHEST_SOUGHT or SORTED_WHOLE not in ids[rows].explain():
        return None
    if SORTED_WHOLE in whole[: rows.stop].explain():
        return None
    for sought in SOUGHT:
        found = _those_among(whole[: sought * rows.stop], ids)[: rows.stop]
        if len(found) == rows.stop:
            return found
        if not found:
            # None of the first rows match, as in a search for a day long ago.
            break
    return None


def _those_among(first: QuerySet[Any, Any], ids: QuerySet[Any, Any]) -> list[UUID]:
    """Return which of the first rows match, in their order.

    This is raw SQL because the ORM has no CROSS JOIN, which makes SQLite check these rows one by one. Otherwise it
    reads all matching rows by an index, and looks up each among the first rows.
    """
    table, id = map(connection.ops.quote_name, (ids.model._meta.db_table, "id"))
    sought, values = first.query.sql_with_params()
    matching, more = ids.query.sql_with_params()
    begin, where, rest = matching.partition(f" FROM {table} WHERE ")
    if not where:
        return []
    joined = f"{begin} FROM sought CROSS JOIN {table} ON ({table}.{id} = sought.id) WHERE {rest}"
    with reader().cursor() as cursor:
        cursor.execute(f"WITH sought(id) AS MATERIALIZED ({sought}) {joined}", [*values, *more])
        return [dialect().read_uuid(found) for (found,) in cursor.fetchall()]
