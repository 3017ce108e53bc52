"""Delete old rows: finished runs with everything that belongs to them, ended bulk actions, logs, and events.

Whole days of logs and events are dropped where the database has partitions for them. A run is deleted together with the
runs that are nested in it, and only when all of them have ended and are old. Rows are deleted some thousands at a time,
each chunk in its own transaction and followed by a pause, so that writers do not wait long.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db.models import Q

from deployments.upkeep.selectors.old_rows import (
    OVER,
    Ages,
    OldDays,
    Rows,
    every_row,
    in_parts,
    kind_of,
    left_by_caches,
    old_families,
    rows_beside,
    rows_by_age,
    rows_by_day,
    task_runs_of,
)
from deployments.upkeep.services.partitions import Part, drop, is_crowded, old_days, row_by_row
from deployments.upkeep.services.result_files import remove_results_of_flow_runs, remove_results_of_task_runs
from orchestration.database_clock import time_before
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.environments.services import unused_environments
from runs.flow_runs.services import delete_below_task_runs, delete_flow_runs
from runs.models import FlowRun, TaskRun

CHUNK = 5000
# The longest pause. A shorter chunk is followed by a pause as long as itself, so that writers have half of the time.
PAUSE_SECONDS = 0.05

RemoveResults = Callable[[Sequence[UUID]], None]


def purge(*, ages: Ages, now: datetime, pause_seconds: float = PAUSE_SECONDS) -> Counter[str]:
    """Delete rows older than `ages`, and return the number of deleted rows by kind."""
    deleted: Counter[str] = Counter()
    for _ in _steps(ages, now, deleted, pause_seconds, every_row):
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
    for _ in _steps(ages, now, deleted, PAUSE_SECONDS, every_row):
        if time.monotonic() > until:
            return deleted, False
    return deleted, True


def _steps(
    ages: Ages, now: datetime, deleted: Counter[str], pause_seconds: float, beside_days: Callable[..., Q]
) -> Iterator[None]:
    """Delete rows in steps of some thousands, oldest families of runs first."""
    if ages.runs is not None:
        for family in old_families(before=time_before(now, ages.runs), kept=ages.kept):
            removers = _removers(ages.restored())
            for runs in in_parts(family):
                _delete_runs(runs, now, deleted, pause_seconds, *removers)
                yield
        # Their flow run was deleted, so whether it was archived is unknown.
        remove = _keep_results if ages.archived else remove_results_of_task_runs
        yield from _chunks(left_by_caches(time_before(now, ages.runs)), deleted, pause_seconds, remove_results=remove)
        # Environments are deleted after the last of their runs, and are not counted.
        yield from _chunks(unused_environments(now), Counter(), pause_seconds)
    crowded: list[Part] = []
    for old in rows_by_day(ages, now):
        crowded += _drop_days(old, deleted)
        yield
    for rows in rows_by_age(ages, now, partial(beside_days, crowded=crowded)):
        yield from _chunks(rows, deleted, pause_seconds)


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
        deleted[kind_of(old.model)] += dropped
    return crowded


def _delete_runs(
    family: Sequence[UUID],
    now: datetime,
    deleted: Counter[str],
    pause_seconds: float,
    results_of_task_runs: RemoveResults = remove_results_of_task_runs,
    results_of_flow_runs: RemoveResults = remove_results_of_flow_runs,
) -> None:
    for rows in rows_beside(family):
        _delete(rows, deleted, pause_seconds, of_runs=family)
    for _ in _chunks(task_runs_of(family, now), deleted, pause_seconds, family, results_of_task_runs):
        pass
    began = time.monotonic()
    deleted[kind_of(FlowRun)] += _delete_emptied(family, results_of_flow_runs)
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
        deleted[kind_of(rows.model)] += number
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
    held = FlowRun.objects.filter(pk__in=runs, state_type__in=OVER)
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
