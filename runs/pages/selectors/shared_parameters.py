"""A search of task runs by parameters: those of a flow run are read once, however many task runs it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from orchestration.reading import reader, unconverted
from orchestration.tables import dialect
from runs.models import FlowRun, TaskRun
from runs.pages.selectors import reach
from runs.pages.selectors.conditions import GivenParameter, has_parameter
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.reach import BY, Reach

# Those of a task run are not stored as JSON.
PARAMETERS = "flow_run__parameters"
# In the order in which they were asked about. SQLite keeps that of a CROSS JOIN, and computes a row when it is fetched.
_SIZES = {
    "sqlite": "SELECT a.number, LENGTH(CAST(f.parameters AS BLOB)) FROM asked a "
    "CROSS JOIN runs_flowrun f ON f.id = a.id",
    "postgresql": "SELECT a.number, PG_COLUMN_SIZE(f.parameters) FROM asked a JOIN runs_flowrun f ON f.id = a.id "
    "ORDER BY a.number",
}
_UUID = {"sqlite": "X'{}'", "postgresql": "'{}'::uuid"}


@dataclass(frozen=True, slots=True)
class Parents:
    """The flow runs with the parameters, among those of the task runs down to the reach of each part.

    Of task runs at one of the `edges`, perhaps not all flow runs were read.
    """

    given: Sequence[GivenParameter]
    matching: Sequence[UUID]
    reaches: Sequence[Reach]
    edges: Sequence[datetime]

    @property
    def condition(self) -> Q:
        """The condition for task runs of flow runs with the parameters."""
        at_an_edge = Q(**{f"{BY}__in": self.edges})
        for one in self.given:
            at_an_edge &= has_parameter(one, PARAMETERS)
        return Q(flow_run_id__in=self.matching) | at_an_edge


def parents_with(
    given: Sequence[GivenParameter], parts: Sequence[QuerySet[TaskRun]], after: Cursor | None, *, most: int
) -> Parents:
    """Read the flow runs of the newest task runs of all parts: of `most` of these, and BYTES_SEARCHED of parameters.

    One query for each part, and two more.
    """
    number, db = most // len(parts), dialect()
    newest = [_newest(part, after, number) for part in parts]
    first: dict[Any, Any] = {}
    for at, flow_run in sorted((row for rows in newest for row in rows), key=itemgetter(0), reverse=True):
        if flow_run is not None:
            first.setdefault(flow_run, at)
    read, beyond = _within_bytes(list(first))
    end = None if beyond is None else db.read_moment(first[beyond])
    found = FlowRun.objects.filter(pk__in=[db.read_uuid(one) for one in read]).order_by()
    for one in given:
        found = found.filter(has_parameter(one, "parameters"))
    reaches = [_reach(rows, number, end) for rows in newest]
    edges = {end, *(one.end for one in reaches), after.at if after else None}
    return Parents(given, list(found.values_list("pk", flat=True)), reaches, [one for one in edges if one])


def _newest(part: QuerySet[TaskRun], after: Cursor | None, number: int) -> list[tuple[Any, Any]]:
    """Return the times and flow runs of so many task runs and one more, as the database returns them."""
    rows = part.filter(**{f"{BY}__lt": after.at}) if after else part
    return unconverted(rows.order_by(f"-{BY}").values_list(BY, "flow_run_id")[: number + 1])


def _within_bytes(flow_runs: Sequence[Any]) -> tuple[Sequence[Any], Any]:
    """Return the first flow runs with at most BYTES_SEARCHED of parameters and one more; and that one, if there is."""
    read, total = [], 0
    for number, size in _sizes(flow_runs):
        read.append(flow_runs[number])
        total += size or 0
        if total > reach.BYTES_SEARCHED:
            return read, flow_runs[number]
    return read, None


def _sizes(flow_runs: Sequence[Any]) -> Iterator[tuple[int, int]]:
    if not flow_runs:
        return
    vendor, db = connection.vendor, dialect()
    # Literals, because there can be as many as one statement of SQLite takes parameters.
    ids = (_UUID[vendor].format(db.read_uuid(one).hex) for one in flow_runs)
    asked = ", ".join(f"({number}, {id})" for number, id in enumerate(ids))
    with reader().cursor() as cursor:
        cursor.execute(f"WITH asked(number, id) AS (VALUES {asked}) {_SIZES[vendor]}")
        while rows := cursor.fetchmany(10):
            yield from rows


def _reach(rows: Sequence[tuple[Any, Any]], number: int, end: datetime | None) -> Reach:
    """Return the reach of a part with these newest rows, if parameters are read down to `end`."""
    last = dialect().read_moment(rows[-1][0]) if rows else None
    if end and last and last < end:
        return Reach(end, is_short=True)
    return Reach(last if len(rows) > number else None)
