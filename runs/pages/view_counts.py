"""How many rows each view above a list has, for the lists of flow runs and of task runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from django.http import QueryDict

from runs.pages.filtering import read_filter
from runs.pages.saved_views import Views
from runs.pages.selectors.keyset import Count
from runs.pages.selectors.runs import RunFilter

# Views beyond these have no number: each costs a part of a query.
MOST_COUNTED = 20

Counting = Callable[[Sequence[RunFilter], datetime], Sequence[Count | None]]


def with_counts(views: Views, count: Counting, now: datetime) -> Views:
    """Return the views with the numbers of their rows, where these can be counted by an index. One query."""
    requested = [(view, read_filter(QueryDict(view.query))) for view in views.all[:MOST_COUNTED]]
    readable = [(view.key, one.wanted) for view, one in requested if not one.problems]
    counts = count([wanted for _, wanted in readable], now)
    found = {key: number for (key, _), number in zip(readable, counts, strict=True) if number is not None}
    return replace(views, counts=found)
