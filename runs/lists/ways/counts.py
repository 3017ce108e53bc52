"""Numbers of runs that match a search, and which way leads to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import Case, Count, QuerySet, Value, When

from runs.lists.filters.searches import Search, flow_runs_matching, in_any_order, of_few_task_runs, task_runs_matching
from runs.lists.filters.subjects import only_empty_column, only_state_types, subject_of_flow_runs, subject_of_task_runs
from runs.lists.ways.by_tags import tag_rows
from runs.lists.ways.list_request import Kind
from runs.models import FlowRun
from runs.roll_ups.selectors import ALL_FLOW_RUNS, number_of_runs


def _from_totals(search: Search, kind: Kind) -> int | None:
    types = only_state_types(search.flow_runs if kind == "flow_runs" else search.task_runs)
    rest = search.model_copy(update={kind: None}) if types else search
    subject = subject_of_flow_runs(rest) if kind == "flow_runs" else subject_of_task_runs(rest)
    return number_of_runs(subject, types) if subject else None


def _without_others(search: Search, kind: Kind) -> int | None:
    column = only_empty_column(search) if kind == "flow_runs" else None
    if column is None:
        return None
    others = FlowRun.objects.filter(**{f"{column}__isnull": False})
    # Some of these may be created between the two queries.
    return max(number_of_runs(ALL_FLOW_RUNS) - others.count(), 0)


def _by_tags(search: Search, kind: Kind) -> int | None:
    found = tag_rows(search, kind)
    return None if found is None else found.count()


def _either_or_by_tag(search: Search, kind: Kind) -> int | None:
    asked = search.flow_runs if kind == "flow_runs" else search.task_runs
    either_or = asked.either_or_rare_tag() if asked and connection.vendor == "postgresql" else None
    if either_or is None:
        return None
    others, tagged = either_or
    rest = search.model_copy(update={kind: None})
    runs: QuerySet[Any] = flow_runs_matching(rest) if kind == "flow_runs" else task_runs_matching(rest)
    # A condition on a column without a value is null, and so would be its negation.
    meets_others = Case(When(others, then=Value(True)), default=Value(False))
    only_tagged = runs.alias(meets_others=meets_others).filter(tagged, meets_others=False)
    # One statement, so that a run that changes its state meanwhile is counted once.
    both = (runs.filter(others), only_tagged)
    first, second = (each.order_by().values(one=Value(1)).annotate(number=Count("pk")) for each in both)
    return sum(int(row["number"]) for row in first.union(second, all=True))


def _by_task_runs(search: Search, kind: Kind) -> int | None:
    found = of_few_task_runs(search) if kind == "flow_runs" else None
    return None if found is None else found.count()


def _one_by_one(search: Search, kind: Kind) -> int:
    matching = flow_runs_matching(search) if kind == "flow_runs" else task_runs_matching(search)
    return in_any_order(matching, search).count()


# A way returns the number, or None if it does not suit. The first that suits is taken.
WAYS: tuple[Callable[[Search, Kind], int | None], ...] = (
    # All runs, or all of a flow or a deployment, perhaps in some types of states: their totals are kept.
    _from_totals,
    # All flow runs without a deployment, say: the others are in an index, and the number of all is kept.
    _without_others,
    # Tags and nothing else: rows of tags are counted, without the runs.
    _by_tags,
    # Other conditions or else a tag of few runs: PostgreSQL reads all runs for both at once, and few for each of them.
    _either_or_by_tag,
    # Flow runs with certain task runs, if there are few of these: the task runs are read.
    _by_task_runs,
    # Any other conditions: an index has the runs, and the number grows with those that match.
    _one_by_one,
)


def number_of_flow_runs(search: Search) -> int:
    return _number(search, "flow_runs")


def number_of_task_runs(search: Search) -> int:
    return _number(search, "task_runs")


def _number(search: Search, kind: Kind) -> int:
    return next(found for way in WAYS if (found := way(search, kind)) is not None)
