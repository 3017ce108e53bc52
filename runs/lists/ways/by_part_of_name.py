"""Runs that are sought by a part of their name alone, if so many names have it that each run has to be compared."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from orchestration.reading import reader
from orchestration.tables import dialect
from runs.lists.filters.patterns import has_part
from runs.lists.filters.searches import Ids
from runs.lists.filters.sorts import ORDERS
from runs.lists.ways.list_request import ListRequest

# How many of the first runs of a list are compared, before the names of all runs are.
NAMES_SEARCHED = 5_000
# Up to this number of runs with the part, they are read from the index of names and sorted.
NAMED_READ = 10_000
# The last row of a page that is sought so.
FARTHEST = 1_000


def ids_of_page(request: ListRequest) -> Ids | None:
    """Return the ids of runs whose names have a part.

    The first runs of the list are searched. If too few match, the ids of all matching runs are read from the index of
    names, unless there are many: then the list is read in its order, where a match is never far.
    """
    if not request.is_for_some or request.rows.stop > FARTHEST or request.sort == "NEXT_SCHEDULED_START_TIME_ASC":
        return None
    part = _only_part_of_name(request)
    if part is None:
        return None
    named, rows = request.matching, request.rows
    if request.sort in ("NAME_ASC", "NAME_DESC"):
        return request.in_order(named)[rows]
    first = request.runs.order_by(*ORDERS[request.sort]).values("pk", "name")[:NAMES_SEARCHED]
    found = _among_first(first, part, rows.stop)
    if len(found) < rows.stop:
        if request.sort == "ID_DESC":
            return _newest(named, rows)
        found = list(named.order_by().values_list("pk", flat=True)[: NAMED_READ + 1])
    return request.in_order(named if len(found) > NAMED_READ else request.runs.filter(pk__in=found))[rows]


def _only_part_of_name(request: ListRequest) -> str | None:
    """Return the part of names that a search asks for, if each run has to be compared and nothing else is asked for."""
    if request.filter is None or request.filter.name is None or request.filter.name.like_ is None:
        return None
    named = request.runs.filter(name__orion_like=request.filter.name.like_)
    return request.filter.name.like_ if request.matching.query.where == named.query.where else None


def _newest(named: QuerySet[Any], rows: slice) -> list[UUID]:
    """Return the ids of a page of runs with such names, however many there are: the index of names has the ids, too.

    As a materialized query, because planners would read the table in the order of ids otherwise.
    """
    sought, values = named.order_by().values("pk").query.sql_with_params()
    with reader().cursor() as cursor:
        cursor.execute(
            f"WITH named(id) AS MATERIALIZED ({sought}) SELECT id FROM named ORDER BY id DESC LIMIT %s OFFSET %s",
            [*values, rows.stop - rows.start, rows.start],
        )
        return [dialect().read_uuid(found) for (found,) in cursor.fetchall()]


def _among_first(first: QuerySet[Any, Any], part: str, most: int) -> list[UUID]:
    """Return the ids of those of these runs whose names have the part, at most `most`.

    In SQL, because a filter cannot follow a slice in the ORM.
    """
    sought, values = first.query.sql_with_params()
    condition, patterns = has_part("first.name", part, connection.vendor)
    with reader().cursor() as cursor:
        cursor.execute(f"SELECT first.pk FROM ({sought}) first WHERE {condition} LIMIT {most}", [*values, *patterns])
        return [dialect().read_uuid(found) for (found,) in cursor.fetchall()]
