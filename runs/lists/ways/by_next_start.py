"""Task runs by their next start: only runs that have one are in an index; the others follow in the order of ids."""

from __future__ import annotations

from django.db.models import Q

from runs.lists.filters.searches import Ids
from runs.lists.ways.among_first import ids_among_first
from runs.lists.ways.list_request import ListRequest

# Up to this number of task runs with a next start, they are named by their ids.
FEW_WAITING = 1_000


def ids_of_page(request: ListRequest) -> Ids | None:
    if request.kind != "task_runs" or request.sort != "NEXT_SCHEDULED_START_TIME_ASC":
        return None
    matching, rows = request.matching, request.rows
    waiting = request.runs.filter(next_scheduled_start_time__isnull=False)
    few = list(waiting.order_by().values_list("pk", flat=True)[: FEW_WAITING + 1])
    # By their ids, because SQLite prefers the index of another condition, even where none has a next start.
    waits = Q(pk__in=few) if len(few) <= FEW_WAITING else Q(next_scheduled_start_time__isnull=False)
    first = matching.filter(waits).values_list("pk", flat=True)
    found = list(first.order_by("next_scheduled_start_time", "pk")[rows])
    missing = rows.stop - rows.start - len(found)
    if not missing:
        return found
    skipped = max(rows.start - first.order_by().count(), 0) if not found else 0
    others = slice(skipped, skipped + missing)
    ids, whole = (runs.filter(~waits).order_by("pk").values_list("pk", flat=True) for runs in (matching, request.runs))
    among_first = ids_among_first(ids, whole, others)
    return [*found, *(ids[others] if among_first is None else among_first[others])]
