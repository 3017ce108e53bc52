"""Rows that are old enough to be deleted: which they are, in which order they are found, and how many.

A run is old only together with the runs that are nested in it: all of them have ended, and none of them later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from deployments.models import Backfill, BackfillTime
from events.models import Event
from orchestration.database_clock import time_before
from orionflow.contract.states import TERMINAL, in_order
from runs.models import (
    UNFINISHED_TYPES,
    Artifact,
    ArtifactCollection,
    BulkAction,
    BulkRun,
    CacheEntry,
    FlowRun,
    Log,
    Occurrence,
    Problem,
    TaskRun,
    TaskRunState,
)

RUNS_AT_ONCE = 500
# Kept runs that are listed in a statement; if there are more, the logs of all existing runs stay.
MOST_NAMED = 5_000
OVER = in_order(TERMINAL)

Rows = QuerySet[Any, Any]
# Returns a set of runs. Called repeatedly, because the set changes meanwhile.
AskRuns = Callable[[], frozenset[UUID]]
_no_runs: AskRuns = frozenset


@dataclass(frozen=True, slots=True)
class Ages:
    """How old rows may become (None: forever). Runs count from their end, and take their logs with them.

    Backfills and bulk actions are kept as long as runs; problems as long as the last of their runs.
    """

    runs: timedelta | None = None
    logs: timedelta | None = None
    events: timedelta | None = None
    # Whether runs are archived: then the logs of existing runs stay, and are archived with them.
    archived: bool = False
    # Runs that were copied back from the archive. They stay with their logs, regardless of age.
    kept: AskRuns = _no_runs
    # Runs that were ever copied back: the archive refers to their result files.
    restored: AskRuns = _no_runs


def every_row(table: str, crowded: Sequence[object] = ()) -> Q:
    """Hold for all rows of a table, also those of days that could be dropped. A choice of `rows_by_age`."""
    return Q()


def old_rows(*, ages: Ages, now: datetime) -> list[Rows]:
    """Return the flow runs, logs and events older than `ages` that `purge` examines, found by an index.

    They are more than it deletes: a run stays while a run nested in it is open or younger.
    """
    found: list[Rows] = []
    if ages.runs is not None:
        found.append(FlowRun.objects.filter(_has_ended(time_before(now, ages.runs))))
    return found + [rows for rows in rows_by_age(ages, now) if rows.model is not CacheEntry]


def count_purgeable(*, ages: Ages, now: datetime) -> Counter[str]:
    """Count the rows that `purge` would delete."""
    found: Counter[str] = Counter()
    if ages.runs is not None:
        for family in old_families(before=time_before(now, ages.runs), kept=ages.kept):
            found[kind_of(FlowRun)] += len(family)
            for rows in (rows for runs in in_parts(family) for rows in (*rows_beside(runs), task_runs_of(runs, now))):
                found[kind_of(rows.model)] += _without_old_logs(rows, ages, now).count()
    for rows in rows_by_age(ages, now):
        found[kind_of(rows.model)] += rows.count()
    return +found


def _without_old_logs(rows: Rows, ages: Ages, now: datetime) -> Rows:
    """Return the rows without old logs, which are counted by their own age."""
    if rows.model is not Log or ages.logs is None:
        return rows
    return rows.filter(timestamp__gte=time_before(now, ages.logs))


def kind_of(model: type[Model]) -> str:
    return str(model._meta.verbose_name_plural)


def old_families(*, before: datetime, kept: AskRuns = _no_runs) -> Iterator[list[UUID]]:
    """Yield runs that ended before then, some whole families at a time, each run after all that are nested in it.

    A run is left out with its whole family if a run nested in it is open, has ended later, or is kept.
    """
    ended = FlowRun.objects.filter(_has_ended(before))
    after: tuple[datetime, UUID] | None = None
    while page := list(_page(ended, after)):
        after = page[-1][:2]
        some: list[UUID] = []
        for family in _with_nested(_roots_of(page), before, kept):
            if some and len(some) + len(family) > RUNS_AT_ONCE:
                yield some
                some = []
            some += family
        if some:
            yield some


def in_parts(runs: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Yield as many runs at a time as a statement may name: a family can have any number."""
    return (runs[start : start + RUNS_AT_ONCE] for start in range(0, len(runs), RUNS_AT_ONCE))


def _roots_of(page: Sequence[tuple[datetime, UUID, UUID | None]]) -> list[UUID]:
    """Return the runs that are not nested. A separate query: in a join, a planner may read all task runs."""
    parents = {parent for _, _, parent in page if parent is not None}
    above = set(TaskRun.objects.filter(pk__in=parents, flow_run__isnull=False).values_list("pk", flat=True))
    return [run_id for _, run_id, parent in page if parent not in above]


def _has_ended(before: datetime) -> Q:
    # The second condition follows from the first, and has an index.
    return Q(state_type__in=OVER, state_timestamp__lt=before) & Q(expected_start_time__lt=before)


def _page(ended: QuerySet[FlowRun, Any], after: tuple[datetime, UUID] | None) -> Rows:
    if after is not None:
        later = Q(expected_start_time__gt=after[0]) | Q(expected_start_time=after[0], pk__gt=after[1])
        # The first condition follows from the second, and is where the index scan starts, so that all pages cost the
        # same.
        ended = ended.filter(Q(expected_start_time__gte=after[0]), later)
    in_order = ended.order_by("expected_start_time", "pk").values_list("expected_start_time", "pk", "parent_task_run")
    return in_order[:RUNS_AT_ONCE]


def _with_nested(roots: Sequence[UUID], before: datetime, kept: AskRuns) -> Iterator[list[UUID]]:
    families = {root: [root] for root in roots}
    root_of = {root: root for root in roots}
    level = list(roots)
    while level:
        children = [child for part in in_parts(level) for child in _nested_in(part)]
        level = []
        for run_id, parent_id, state_type, since in children:
            root = root_of[run_id] = root_of[parent_id]
            level.append(run_id)
            if root in families and state_type in OVER and since < before:
                families[root].append(run_id)
            else:
                families.pop(root, None)
    # Check this after the rows were read: a restore writes its note before it inserts rows.
    stay = kept() if families else frozenset()
    return (family[::-1] for family in families.values() if stay.isdisjoint(family))


def _nested_in(runs: Sequence[UUID]) -> Rows:
    nested = FlowRun.objects.filter(parent_task_run__flow_run__in=runs)
    return nested.values_list("pk", "parent_task_run__flow_run_id", "state_type", "state_timestamp")


@dataclass(frozen=True, slots=True)
class OldDays:
    """Days that are dropped whole, except for rows to keep. `keep` is the SQL for their ids, found by indexes."""

    model: type[Model]
    before: datetime
    keep: str
    params: tuple[Any, ...]

    @property
    def table(self) -> str:
        return self.model._meta.db_table


def rows_by_day(ages: Ages, now: datetime) -> Iterator[OldDays]:
    """Yield the days of logs and events that are older than `ages`, for databases that have them as partitions."""
    # Rows with a time later than their id stay until that time is old enough.
    if ages.logs is not None:
        before = time_before(now, ages.logs)
        open_only = "" if ages.archived else " WHERE r.state_type = ANY(%s) OR r.id = ANY(%s)"
        of_runs = f"SELECT one.id FROM runs_flowrun r JOIN {{part}} one ON one.flow_run_id = r.id{open_only}"
        params = (before,) if ages.archived else (before, UNFINISHED_TYPES, list(ages.kept()))
        yield OldDays(Log, before, f"SELECT one.id FROM {{part}} one WHERE one.timestamp >= %s UNION {of_runs}", params)
    if ages.events is not None:
        before = time_before(now, ages.events)
        yield OldDays(Event, before, "SELECT one.id FROM {part} one WHERE one.occurred >= %s", (before,))


def _needed_by(ages: Ages) -> Rows:
    """Return the run because of which a log line stays."""
    of_line = FlowRun.objects.filter(pk=OuterRef("flow_run_id"))
    kept = frozenset() if ages.archived else ages.kept()
    if ages.archived or len(kept) > MOST_NAMED:
        return of_line
    return of_line.filter(Q(state_type__in=UNFINISHED_TYPES) | Q(pk__in=kept))


def rows_by_age(ages: Ages, now: datetime, beside_days: Callable[[str], Q] = every_row) -> Iterator[Rows]:
    """Yield the rows older than `ages` that belong to no run, and logs; `beside_days` limits these and events."""
    yield CacheEntry.objects.filter(expires_at__lt=now)
    if ages.runs is not None:
        before = time_before(now, ages.runs)
        # The times first, because they are many, and are found by the row of the backfill.
        ended = Backfill.objects.filter(ended_at__lt=before)
        yield BackfillTime.objects.filter(backfill__in=ended.values("pk"))
        yield ended
        begun = BulkAction.objects.filter(ended_at__lt=before)
        if begun.exists():
            yield BulkRun.objects.filter(bulk_action__in=begun.values("pk"))
            yield begun
        failed_lately = Occurrence.objects.filter(problem_id=OuterRef("pk"))
        yield Problem.objects.filter(~Exists(failed_lately), last_seen__lt=before)
    if ages.logs is not None:
        old = Log.objects.filter(~Exists(_needed_by(ages)), timestamp__lt=time_before(now, ages.logs))
        yield old.filter(beside_days("runs_log"))
    if ages.events is not None:
        yield Event.objects.filter(beside_days("events_event"), occurred__lt=time_before(now, ages.events))


def rows_beside(runs: Sequence[UUID]) -> list[Rows]:
    """Return artifacts and logs of runs. The newest artifact of a key stays, because users look it up by its key."""
    newest = ArtifactCollection.objects.filter(latest_id=OuterRef("pk"))
    return [
        Artifact.objects.filter(~Exists(newest), flow_run_id__in=runs),
        Log.objects.filter(flow_run_id__in=runs),
    ]


def task_runs_of(runs: Sequence[UUID], now: datetime) -> Rows:
    """Return the task runs, except those with a result that the cache still offers."""
    given = CacheEntry.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gte=now)).values("task_run_state")
    cached = TaskRunState.objects.filter(pk__in=given).values("task_run")
    return TaskRun.objects.filter(flow_run__in=runs).exclude(pk__in=cached)


def left_by_caches(before: datetime) -> Rows:
    """Return task runs that outlived their flow run for a cache that no longer uses them."""
    cached = CacheEntry.objects.filter(task_run_state__task_run=OuterRef("pk"))
    return TaskRun.objects.filter(
        ~Exists(cached), flow_run__isnull=True, state_type__in=OVER, state_timestamp__lt=before
    )
