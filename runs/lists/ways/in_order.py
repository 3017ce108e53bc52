"""All runs of a list in its order, until the page is full: each order has an index."""

from __future__ import annotations

from runs.lists.filters.searches import Ids
from runs.lists.ways.asked import Asked


def ids_of_page(asked: Asked) -> Ids:
    # Earlier rows are skipped in the index.
    return asked.in_order(asked.matching)[asked.rows]
