"""How many rows each view above a list has, for the lists of flow runs and of task runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from django.core.exceptions import TooManyFieldsSent
from django.http import QueryDict

from runs.pages.filtering import read_filter
from runs.pages.saved_views import Views
from runs.pages.selectors.keyset import Count
from runs.pages.selectors.runs import RunFilter
from runs.saved_searches.saved_views import View

# Views beyond these have no number: each costs a part of a query.
MOST_COUNTED = 20

Counting = Callable[[Sequence[RunFilter], datetime], Sequence[Count | None]]


def with_counts(views: Views, count: Counting, now: datetime) -> Views:
    """Return the views with the numbers of their rows, where these can be counted by an index. One query."""
    filters = {view.key: _filter_of(view) for view in views.all[:MOST_COUNTED]}
    readable = {key: wanted for key, wanted in filters.items() if wanted is not None}
    counts = count([*readable.values()], now)
    found = {key: number for key, number in zip(readable, counts, strict=True) if number is not None}
    return replace(views, counts=found)


def _filter_of(view: View) -> RunFilter | None:
    """Return the filter of a view; None if a part of it cannot be read."""
    try:
        requested = read_filter(QueryDict(view.query))
    except TooManyFieldsSent:
        # A server may take fewer fields than views have.
        return None
    return None if requested.problems else requested.wanted
