"""How many rows a list without hits would have without each of its filters. One query, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Generic, TypeVar

from django.db.models import Model, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from runs.models import FlowRun, TaskRun
from runs.pages.selectors.bounds import LONG_AGO
from runs.pages.selectors.keyset import COUNT_CAP, Count, capped_counts
from runs.pages.selectors.reach import BY, beyond
from runs.pages.selectors.runs import RunFilter, listed, searched
from runs.pages.selectors.shared_parameters import PARAMETERS
from runs.pages.selectors.task_runs import conditions_by_row, indexed_task_runs

# Where rows must be read one by one, all filters together read at most this many.
LOOKED_AT = 5_000

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Rest(Generic[M]):
    """The rows that one filter less leaves. With `among`, they are searched in the newest rows of the parts.

    `parameters` is the column that a search looks into, if it does.
    """

    parts: Sequence[QuerySet[M]]
    among: Callable[[QuerySet[M]], QuerySet[M]] | None = None
    parameters: str = ""


def runs_without(choices: Sequence[RunFilter], now: datetime) -> list[Count | None]:
    """Return the number of runs that each filter would list; None where that cannot be counted quickly."""
    return _counted([_rest_of_runs(one, now) for one in choices])


def task_runs_without(choices: Sequence[RunFilter], now: datetime) -> list[Count | None]:
    return _counted([_rest_of_task_runs(one, now) for one in choices])


def _rest_of_runs(wanted: RunFilter, now: datetime) -> Rest[FlowRun] | None:
    if wanted.error or wanted.problem is not None:
        return None
    if not wanted.searches:
        return Rest([listed(wanted, now)])
    parts = [listed(one, now) for one in wanted.by_state()]
    return Rest(parts, lambda rows: searched(rows, wanted, now), "parameters" if wanted.parameters else "")


def _rest_of_task_runs(wanted: RunFilter, now: datetime) -> Rest[TaskRun]:
    by_row = conditions_by_row(wanted, now)
    if not by_row:
        return Rest([indexed_task_runs(wanted, now)])
    parts = [indexed_task_runs(one, now) for one in wanted.by_state()]
    return Rest(parts, lambda rows: rows.filter(*by_row), PARAMETERS if wanted.parameters else "")


def _counted(rests: Sequence[Rest[M] | None]) -> list[Count | None]:
    searching = [len(rest.parts) for rest in rests if rest and rest.among]
    parts = sum(searching) or 1
    questions = [_questions_of(rest, parts) for rest in rests]
    counts = iter(capped_counts([one for several in questions for one in several], COUNT_CAP))
    found: list[Count | None] = []
    for rest, several in zip(rests, questions, strict=True):
        numbers = [next(counts) for _ in several]
        if not rest or not rest.among:
            found.append(numbers[0] if numbers else None)
        else:
            # The other numbers say whether the search came to an end.
            is_cut = any(one.number > (0 if rest.parameters else LOOKED_AT // parts) for one in numbers[1:])
            found.append(Count(numbers[0].number, numbers[0].capped or is_cut))
    return found


def _questions_of(rest: Rest[M] | None, parts: int) -> Sequence[QuerySet[M]]:
    """Return what to count: all rows or, in a search, those found among the newest, and those that tell its end."""
    if not rest or not rest.among:
        return rest.parts if rest else []
    if rest.parameters:
        ends = [
            Subquery(beyond(part, share=1 / parts, most=LOOKED_AT, parameters=rest.parameters).values(BY))
            for part in rest.parts
        ]
        several = list(zip(rest.parts, ends, strict=True))
        chosen = [part.filter(**{f"{BY}__gte": Coalesce(end, Value(LONG_AGO))}) for part, end in several]
        others = [part.filter(**{f"{BY}__lt": end}) for part, end in several]
    else:
        chosen, others = [part.order_by(f"-{BY}")[: LOOKED_AT // parts] for part in rest.parts], list(rest.parts)
    rows = rest.parts[0].model._default_manager.filter(reduce(or_, [Q(pk__in=one.values("pk")) for one in chosen]))
    return [rest.among(rows), *others]
