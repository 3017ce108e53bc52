"""The number of runs in each state over time, counted by the database in bins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from django.db import connection
from django.db.models import Avg, Case, Count, F, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce

from orionflow.contract.states import BAD, in_order
from runs.history.selectors.durations import EPOCH, MICROSECOND, BinOf, SumOfPeriods, lateness, number_of_bin, run_time
from runs.history.selectors.outcomes import counted_by_start
from runs.history.selectors.rolled import Counted, rolled_up
from runs.roll_ups.selectors import Subject, number_of_runs

MOST_BINS = 500
_ALL_TIME = (EPOCH, datetime(9000, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class BinState:
    """The runs of one bin that are in one state; sums in seconds. The names are those of `contract.explanations`."""

    state_type: str
    state_name: str
    count_runs: int
    sum_estimated_run_time: float
    sum_estimated_lateness: float


@dataclass(frozen=True, slots=True)
class Bin:
    interval_start: datetime
    interval_end: datetime
    states: Sequence[BinState]


def history(
    runs: QuerySet[Any],
    *,
    start: datetime,
    end: datetime,
    step: timedelta,
    now: datetime,
    subject: Subject | None = None,
) -> list[Bin]:
    """Return bins of `step` from `start` until `end`; the last one may end later.

    With a `subject`, `runs` must be all of its runs; most of them are then read from its roll-ups.
    """
    bins = min(ceil((end - start) / step), MOST_BINS) if end > start else 0
    edges = [_later(start, step * index) for index in range(bins + 1)]
    counted = _by_bin(_numbers(runs, edges, step, now, subject)) if bins else {}
    return [Bin(edges[index], edges[index + 1], counted.get(index, ())) for index in range(bins)]


def _later(moment: datetime, period: timedelta) -> datetime:
    try:
        return moment + period
    except OverflowError:
        return datetime.max.replace(tzinfo=moment.tzinfo)


def _numbers(
    runs: QuerySet[Any], edges: Sequence[datetime], step: timedelta, now: datetime, subject: Subject | None
) -> Counted:
    if subject:
        return rolled_up(subject, edges, now)
    within = runs.filter(expected_start_time__gte=edges[0], expected_start_time__lt=edges[-1])
    return _counted(within, edges[0], step, now)


def _counted(runs: QuerySet[Any], start: datetime, step: timedelta, now: datetime) -> Counted:
    rows = (
        runs.order_by()
        # An expression, because SQLite would read all runs by their index to order them by a plain column.
        .values(type=Coalesce("state_type", Value("")))
        .values("type", "state_name", bin=BinOf(F("expected_start_time"), start, step))
        .annotate(runs=Count("pk"), spent=SumOfPeriods(run_time(now)), late=SumOfPeriods(lateness(now)))
        .values_list("bin", "type", "state_name", "runs", "spent", "late")
    )
    return {
        (number_of_bin(found, start, step), type_, name): (number, int(spent), int(late))
        for found, type_, name, number, spent, late in rows
        if type_
    }


def _by_bin(numbers: Counted) -> dict[int, list[BinState]]:
    found = defaultdict(list)
    for (index, type_, name), (runs, spent, late) in sorted(numbers.items()):
        found[index].append(BinState(type_, name, runs, spent / 1e6, late / 1e6))
    return found


def average_lateness(runs: QuerySet[Any], now: datetime, subject: Subject | None = None) -> float | None:
    """Return the average in seconds, or None without runs. With a `subject`, `runs` must be all of its runs."""
    if subject is None:
        average = runs.order_by().aggregate(value=Avg(lateness(now)))["value"]
        return None if average is None else float(average) / 1e6
    number = number_of_runs(subject)
    # The roll-ups have no lateness for runs without a state, of which there are few, so these are summed here.
    numbers = _numbers(runs, _ALL_TIME, _ALL_TIME[1] - _ALL_TIME[0], now, subject)
    stateless = runs.filter(state_type__isnull=True).order_by().aggregate(value=SumOfPeriods(lateness(now)))["value"]
    late = sum(each for _, _, each in numbers.values()) + int(stateless or 0)
    return late / number / 1e6 if number else None


def counts_by_state(runs: QuerySet[Any]) -> dict[str, int]:
    return dict(runs.filter(state_type__isnull=False).order_by().values_list("state_type").annotate(Count("pk")))


def outcomes_over_time(
    runs: QuerySet[Any], *, start: datetime, end: datetime, parts: int, of_all_task_runs: bool = False
) -> list[tuple[int, int]]:
    """Return how many runs completed and how many failed, for those that started in each of `parts` equal periods.

    With `of_all_task_runs`, `runs` must be all task runs of this time; SQLite then counts them in indexes.
    """
    if end <= start:
        return [(0, 0)] * parts
    step = max((end - start) // parts, MICROSECOND)
    if of_all_task_runs and connection.vendor == "sqlite":
        return counted_by_start([*(min(start + step * number, end) for number in range(parts)), end])
    completed = Case(When(state_type="COMPLETED", then=1), default=0)
    failed = Case(When(state_type__in=in_order(BAD), then=1), default=0)
    rows = (
        runs.filter(start_time__gte=start, start_time__lt=end)
        .order_by()
        .values(part=BinOf(F("start_time"), start, step))
        .annotate(completed=Sum(completed), failed=Sum(failed))
        .values_list("part", "completed", "failed")
    )
    counted = [(0, 0)] * parts
    for part, good, bad in rows:
        index = min(number_of_bin(part, start, step), parts - 1)
        counted[index] = (counted[index][0] + good, counted[index][1] + bad)
    return counted
