"""Few runs: they are read by whatever index finds them, and sorted."""

from __future__ import annotations

from runs.lists.filters.searches import Ids, in_any_order
from runs.lists.ways.list_request import ListRequest

# Up to this number of matching runs, they are read and sorted.
FEW_ROWS = 1_000


def ids_of_page(request: ListRequest) -> Ids | None:
    if not request.is_for_some:
        return None
    matching = in_any_order(request.matching, request.search)
    few = list(matching.order_by().values_list("pk", flat=True)[: FEW_ROWS + 1])
    return request.in_order(request.runs.filter(pk__in=few))[request.rows] if len(few) <= FEW_ROWS else None
