"""Few runs: they are read by whatever index finds them, and sorted."""

from __future__ import annotations

from runs.lists.filters.searches import Ids, in_any_order
from runs.lists.ways.asked import Asked

# Up to this number of matching runs, they are read and sorted.
FEW_ROWS = 1_000


def ids_of_page(asked: Asked) -> Ids | None:
    if not asked.is_for_some:
        return None
    matching = in_any_order(asked.matching, asked.search)
    few = list(matching.order_by().values_list("pk", flat=True)[: FEW_ROWS + 1])
    return asked.in_order(asked.runs.filter(pk__in=few))[asked.rows] if len(few) <= FEW_ROWS else None
