"""Runs that are sought by tags alone: rows of tags have their ids, in the order of most lists."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from runs.lists.filters.conditions import MOST_TAGS_ASKED_FOR
from runs.lists.filters.resources import RunFilter
from runs.lists.filters.searches import Ids, Search
from runs.lists.filters.sorts import TAG_ORDERS
from runs.lists.ways.list_request import Kind, ListRequest

# Rows of each tag that are counted, to search for the rarest tag first; with more, tags count as equally common.
COUNTED = 1000


def ids_of_page(request: ListRequest) -> Ids | None:
    order = TAG_ORDERS.get(request.sort)
    found = tag_rows(request.search, request.kind) if order else None
    return None if found is None or order is None else found.order_by(*order).values("run_id")[request.rows]


def tag_rows(search: Search, kind: Kind) -> QuerySet[Any, Any] | None:
    """Return rows of tags, one for each matching run, if the search names tags and nothing else; otherwise None."""
    others = {"flows", "flow_runs", "task_runs", "deployments"} - {kind}
    asked: RunFilter | None = getattr(search, kind)
    tags = asked.only_tags if asked else []
    if not tags or search.pools() or search.queues() or any(getattr(search, name) is not None for name in others):
        return None
    assert asked is not None
    rows = asked.tag_rows.objects.all()
    counted, more = tags[:MOST_TAGS_ASKED_FOR], tags[MOST_TAGS_ASKED_FOR:]
    first, *further = counted
    if further:
        first, *further = sorted(counted, key=lambda tag: rows.filter(tag=tag)[:COUNTED].count())
    found = rows.filter(tag=first)
    for tag in further:
        found = found.filter(Exists(rows.filter(tag=tag, run=OuterRef("run"))))
    return found.filter(run__tags__orion_holds_all=more) if more else found
