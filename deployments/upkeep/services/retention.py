"""Delete old rows: finished runs with everything that belongs to them, ended bulk actions, logs, and events.

Whole days of logs and events are dropped where the database has partitions for them. A run is deleted together with the
runs that are nested in it, and only when all of them have ended and are old. Rows are deleted some thousands at a time,
each chunk in its own transaction and followed by a pause, so that writers do not wait long.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from deployments.models import Backfill, BackfillTime
from deployments.upkeep.services.partitions import Part, drop, is_crowded, old_days, row_by_row
from deployments.upkeep.services.result_files import remove_results_of_flow_runs, remove_results_of_task_runs
from events.models import Event
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.states import TERMINAL, in_order
from runs.environments.services import unused_environments
from runs.flow_runs.services import delete_below_task_runs, delete_flow_runs
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

CHUNK = 5000
RUNS_AT_ONCE = 500
# Kept runs that are listed in a statement; if there are more, the logs of all existing runs stay.
MOST_NAMED = 5_000
# The longest pause. A shorter chunk is followed by a pause as long as itself, so that writers have half of the time.
PAUSE_SECONDS = 0.05
_OVER = in_order(TERMINAL)

Rows = QuerySet[Any, Any]
RemoveResults = Callable[[Sequence[UUID]], None]
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


def purge(*, ages: Ages, now: datetime, pause_seconds: float = PAUSE_SECONDS) -> Counter[str]:
    """Delete rows older than `ages`, and return the number of deleted rows by kind."""
    deleted: Counter[str] = Counter()
    for _ in _steps(ages, now, deleted, pause_seconds, _every_row):
        pass
    return deleted


def retain(*, ages: Ages, now: datetime) -> Counter[str]:
    """Delete rows like `purge`, but leave those that are dropped with their day to that, up to a day later."""
    deleted: Counter[str] = Counter()
    for _ in _steps(ages, now, deleted, PAUSE_SECONDS, row_by_row):
        pass
    return deleted


def purge_for(*, seconds: float, ages: Ages, now: datetime) -> tuple[Counter[str], bool]:
    """Delete rows older than `ages` until the time is up. Return the numbers by kind, and whether that was all."""
    deleted: Counter[str] = Counter()
    until = time.monotonic() + seconds
    for _ in _steps(ages, now, deleted, PAUSE_SECONDS, _every_row):
        if time.monotonic() > until:
            return deleted, False
    return deleted, True


def old_rows(*, ages: Ages, now: datetime) -> list[Rows]:
    """Return the flow runs, logs and events older than `ages` that `purge` examines, found by an index.

    They are more than it deletes: a run stays while a run nested in it is open or younger.
    """
    found: list[Rows] = []
    if ages.runs is not None:
        found.append(FlowRun.objects.filter(_has_ended(now - ages.runs)))
    return found + [rows for rows in _by_age(ages, now) if rows.model is not CacheEntry]


def _every_row(table: str, crowded: Sequence[Part] = ()) -> Q:
    return Q()


def _steps(
    ages: Ages, now: datetime, deleted: Counter[str], pause_seconds: float, beside_days: Callable[..., Q]
) -> Iterator[None]:
    """Delete rows in steps of some thousands, oldest families of runs first."""
    if ages.runs is not None:
        for family in old_families(before=now - ages.runs, kept=ages.kept):
            _delete_runs(family, now, deleted, pause_seconds, *_removers(ages.restored()))
            yield
        # Their flow run was deleted, so whether it was archived is unknown.
        remove = _keep_results if ages.archived else remove_results_of_task_runs
        yield from _chunks(_left_by_caches(now - ages.runs), deleted, pause_seconds, remove_results=remove)
        # Environments are deleted after the last of their runs, and are not counted.
        yield from _chunks(unused_environments(now), Counter(), pause_seconds)
    crowded: list[Part] = []
    for old in _by_day(ages, now):
        crowded += _drop_days(old, deleted)
        yield
    for rows in _by_age(ages, now, partial(beside_days, crowded=crowded)):
        yield from _chunks(rows, deleted, pause_seconds)


def count_purgeable(*, ages: Ages, now: datetime) -> Counter[str]:
    """Count the rows that `purge` would delete."""
    found: Counter[str] = Counter()
    if ages.runs is not None:
        for family in old_families(before=now - ages.runs, kept=ages.kept):
            found[_kind(FlowRun)] += len(family)
            for rows in (*_beside(family), _task_runs(family, now)):
                found[_kind(rows.model)] += _without_old_logs(rows, ages, now).count()
    for rows in _by_age(ages, now):
        found[_kind(rows.model)] += rows.count()
    return +found


def _without_old_logs(rows: Rows, ages: Ages, now: datetime) -> Rows:
    """Return the rows without old logs, which are counted by their own age."""
    if rows.model is not Log or ages.logs is None:
        return rows
    return rows.filter(timestamp__gte=now - ages.logs)


def _kind(model: type[Model]) -> str:
    return str(model._meta.verbose_name_plural)


# --- what is old -----------------------------------------------------------------------------------------------------


def old_families(*, before: datetime, kept: AskRuns = _no_runs) -> Iterator[list[UUID]]:
    """Yield runs that ended before then, some at a time, each after all runs that are nested in it.

    A run is left out with its whole family if a run nested in it is open, has ended later, or is kept.
    """
    ended = FlowRun.objects.filter(_has_ended(before))
    after: tuple[datetime, UUID] | None = None
    while page := list(_page(ended, after)):
        after = page[-1][:2]
        if family := _with_nested(_roots_of(page), before, kept):
            yield family


def _roots_of(page: Sequence[tuple[datetime, UUID, UUID | None]]) -> list[UUID]:
    """Return the runs that are not nested. A separate query: in a join, a planner may read all task runs."""
    parents = {parent for _, _, parent in page if parent is not None}
    above = set(TaskRun.objects.filter(pk__in=parents, flow_run__isnull=False).values_list("pk", flat=True))
    return [run_id for _, run_id, parent in page if parent not in above]


def _has_ended(before: datetime) -> Q:
    # The second condition follows from the first, and has an index.
    return Q(state_type__in=_OVER, state_timestamp__lt=before) & Q(expected_start_time__lt=before)


def _page(ended: QuerySet[FlowRun, Any], after: tuple[datetime, UUID] | None) -> Rows:
    if after is not None:
        later = Q(expected_start_time__gt=after[0]) | Q(expected_start_time=after[0], pk__gt=after[1])
        # The first condition follows from the second, and is where the index scan starts, so that all pages cost the
        # same.
        ended = ended.filter(Q(expected_start_time__gte=after[0]), later)
    in_order = ended.order_by("expected_start_time", "pk").values_list("expected_start_time", "pk", "parent_task_run")
    return in_order[:RUNS_AT_ONCE]


def _with_nested(roots: Sequence[UUID], before: datetime, kept: AskRuns) -> list[UUID]:
    families = {root: [root] for root in roots}
    root_of = {root: root for root in roots}
    level = list(roots)
    while level:
        nested = FlowRun.objects.filter(parent_task_run__flow_run__in=level)
        children = nested.values_list("pk", "parent_task_run__flow_run_id", "state_type", "state_timestamp")
        level = []
        for run_id, parent_id, state_type, since in children:
            root = root_of[run_id] = root_of[parent_id]
            level.append(run_id)
            if root in families and state_type in _OVER and since < before:
                families[root].append(run_id)
            else:
                families.pop(root, None)
    # Check this after the rows were read: a restore writes its note before it inserts rows.
    stay = kept() if families else frozenset()
    whole = [family for family in families.values() if stay.isdisjoint(family)]
    return [run_id for family in whole for run_id in reversed(family)]


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


def _by_day(ages: Ages, now: datetime) -> Iterator[OldDays]:
    # Rows with a time later than their id stay until that time is old enough.
    if ages.logs is not None:
        before = now - ages.logs
        open_only = "" if ages.archived else " WHERE r.state_type = ANY(%s) OR r.id = ANY(%s)"
        of_runs = f"SELECT one.id FROM runs_flowrun r JOIN {{part}} one ON one.flow_run_id = r.id{open_only}"
        params = (before,) if ages.archived else (before, UNFINISHED_TYPES, list(ages.kept()))
        yield OldDays(Log, before, f"SELECT one.id FROM {{part}} one WHERE one.timestamp >= %s UNION {of_runs}", params)
    if ages.events is not None:
        before = now - ages.events
        yield OldDays(Event, before, "SELECT one.id FROM {part} one WHERE one.occurred >= %s", (before,))


def _needed_by(ages: Ages) -> Rows:
    """Return the run because of which a log line stays."""
    of_line = FlowRun.objects.filter(pk=OuterRef("flow_run_id"))
    kept = frozenset() if ages.archived else ages.kept()
    if ages.archived or len(kept) > MOST_NAMED:
        return of_line
    return of_line.filter(Q(state_type__in=UNFINISHED_TYPES) | Q(pk__in=kept))


def _by_age(ages: Ages, now: datetime, beside_days: Callable[[str], Q] = _every_row) -> Iterator[Rows]:
    yield CacheEntry.objects.filter(expires_at__lt=now)
    if ages.runs is not None:
        # The times first, because they are many, and are found by the row of the backfill.
        ended = Backfill.objects.filter(ended_at__lt=now - ages.runs)
        yield BackfillTime.objects.filter(backfill__in=ended.values("pk"))
        yield ended
        begun = BulkAction.objects.filter(ended_at__lt=now - ages.runs)
        if begun.exists():
            yield BulkRun.objects.filter(bulk_action__in=begun.values("pk"))
            yield begun
        failed_lately = Occurrence.objects.filter(problem_id=OuterRef("pk"))
        yield Problem.objects.filter(~Exists(failed_lately), last_seen__lt=now - ages.runs)
    if ages.logs is not None:
        old = Log.objects.filter(~Exists(_needed_by(ages)), timestamp__lt=now - ages.logs)
        yield old.filter(beside_days("runs_log"))
    if ages.events is not None:
        yield Event.objects.filter(beside_days("events_event"), occurred__lt=now - ages.events)


# --- deleting --------------------------------------------------------------------------------------------------------


def _drop_days(old: OldDays, deleted: Counter[str]) -> list[Part]:
    """Drop whole days. Return those that were not dropped, because too many of their rows stay."""
    crowded = []
    for part in old_days(old.table, before=old.before):
        if is_crowded(part, old.keep, old.params):
            crowded.append(part)
            continue
        dropped = drop(old.table, part, keep=old.keep, params=old.params)
        if dropped is None:
            break
        deleted[_kind(old.model)] += dropped
    return crowded


def _beside(runs: Sequence[UUID]) -> list[Rows]:
    """Return artifacts and logs of runs. The newest artifact of a key stays, because users look it up by its key."""
    newest = ArtifactCollection.objects.filter(latest_id=OuterRef("pk"))
    return [
        Artifact.objects.filter(~Exists(newest), flow_run_id__in=runs),
        Log.objects.filter(flow_run_id__in=runs),
    ]


def _task_runs(runs: Sequence[UUID], now: datetime) -> Rows:
    """Return the task runs, except those with a result that the cache still offers."""
    given = CacheEntry.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gte=now)).values("task_run_state")
    cached = TaskRunState.objects.filter(pk__in=given).values("task_run")
    return TaskRun.objects.filter(flow_run__in=runs).exclude(pk__in=cached)


def _left_by_caches(before: datetime) -> Rows:
    """Return task runs that outlived their flow run for a cache that no longer uses them."""
    cached = CacheEntry.objects.filter(task_run_state__task_run=OuterRef("pk"))
    return TaskRun.objects.filter(
        ~Exists(cached), flow_run__isnull=True, state_type__in=_OVER, state_timestamp__lt=before
    )


def _delete_runs(
    family: Sequence[UUID],
    now: datetime,
    deleted: Counter[str],
    pause_seconds: float,
    results_of_task_runs: RemoveResults = remove_results_of_task_runs,
    results_of_flow_runs: RemoveResults = remove_results_of_flow_runs,
) -> None:
    for rows in _beside(family):
        _delete(rows, deleted, pause_seconds, of_runs=family)
    for _ in _chunks(_task_runs(family, now), deleted, pause_seconds, family, results_of_task_runs):
        pass
    began = time.monotonic()
    deleted[_kind(FlowRun)] += _delete_emptied(family, results_of_flow_runs)
    _let_others_write(began, pause_seconds)


def delete_archived(family: Sequence[UUID], *, now: datetime, deleted: Counter[str]) -> None:
    """Delete finished runs with all that belongs to them, but not their result files: the archive refers to them."""
    _delete_runs(family, now, deleted, PAUSE_SECONDS, _keep_results, _keep_results)


def _keep_results(runs: Sequence[UUID]) -> None:
    pass


def _removers(restored: frozenset[UUID]) -> tuple[RemoveResults, RemoveResults]:
    """Return functions that remove results of task runs and of flow runs, except those of runs that the archive has."""

    def of_task_runs(ids: Sequence[UUID]) -> None:
        owners = TaskRun.objects.filter(pk__in=ids).values_list("pk", "flow_run_id")
        remove_results_of_task_runs([id for id, owner in owners if owner not in restored])

    def of_flow_runs(ids: Sequence[UUID]) -> None:
        remove_results_of_flow_runs([id for id in ids if id not in restored])

    return (of_task_runs, of_flow_runs) if restored else (remove_results_of_task_runs, remove_results_of_flow_runs)


def _let_others_write(began: float, longest: float) -> None:
    time.sleep(min(time.monotonic() - began, longest))


def _delete(rows: Rows, deleted: Counter[str], pause_seconds: float, of_runs: Sequence[UUID] = ()) -> None:
    for _ in _chunks(rows, deleted, pause_seconds, of_runs):
        pass


def _chunks(
    rows: Rows,
    deleted: Counter[str],
    pause_seconds: float,
    of_runs: Sequence[UUID] = (),
    remove_results: RemoveResults = remove_results_of_task_runs,
) -> Iterator[None]:
    # About five states are deleted with each task run.
    most = CHUNK // 5 if rows.model is TaskRun else CHUNK
    # Check without a lock first: on SQLite a transaction blocks every writer, and usually there is nothing to delete.
    began = time.monotonic()
    while rows.exists() and (number := _delete_chunk(rows, most, of_runs, remove_results)):
        deleted[_kind(rows.model)] += number
        _let_others_write(began, pause_seconds)
        yield
        began = time.monotonic()


@repeated_on_conflict
def _delete_chunk(rows: Rows, most: int, of_runs: Sequence[UUID], remove_results: RemoveResults) -> int:
    with write_transaction():
        if not _still_over(of_runs):
            return 0
        ids = list(rows.order_by().values_list("pk", flat=True)[:most])
        if rows.model is TaskRun:
            remove_results(ids)
            delete_below_task_runs(TaskRun.objects.filter(pk__in=ids).values("pk"))
        chunk = rows.model.objects.filter(pk__in=ids)
        return int(chunk._raw_delete(chunk.db) or 0)


def _still_over(runs: Sequence[UUID]) -> bool:
    """Lock the runs. Return False if another ticker has locked them, or one of them was started again."""
    held = FlowRun.objects.filter(pk__in=runs, state_type__in=_OVER)
    held = held.select_for_update(skip_locked=True)
    return len(held.values_list("pk", flat=True)) == len(runs)


@repeated_on_conflict
def _delete_emptied(runs: Sequence[UUID], remove_results: RemoveResults) -> int:
    """Delete the runs themselves. Their remaining task runs stay alone, for the cache."""
    with write_transaction():
        if not _still_over(runs):
            return 0
        TaskRun.objects.filter(flow_run__in=runs).update(flow_run=None)
        remove_results(runs)
        delete_flow_runs(FlowRun.objects.filter(pk__in=runs).values("pk"))
    return len(runs)
