"""All runs of a list in its order, until the page is full: each order has an index."""

from __future__ import annotations

from runs.lists.filters.searches import Ids
from runs.lists.ways.list_request import ListRequest


def ids_of_page(request: ListRequest) -> Ids:
    # Earlier rows are skipped in the index.
    return request.in_order(request.matching)[request.rows]
