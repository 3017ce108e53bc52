"""Deleting what is old: finished runs with everything below them, actions on many runs that ended, logs, and events.

Whole days of logs and events are dropped where the database has them in partitions.

A run goes with the runs that are nested in it, and only when all of them have ended and are old. Rows are deleted some
thousands at a time, each such chunk in a transaction of its own and with a pause after it, so that nobody waits long.
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
# So many runs that stay are named in a statement; with more of them, the logs of all runs that are there stay.
MOST_NAMED = 5_000
# At most; a chunk that took less is followed by a pause as long as itself, so that writers have half of the time.
PAUSE_SECONDS = 0.05
_OVER = in_order(TERMINAL)

Rows = QuerySet[Any, Any]
RemoveResults = Callable[[Sequence[UUID]], None]
# Which runs: asked again and again, as they change meanwhile.
AskRuns = Callable[[], frozenset[UUID]]
_no_runs: AskRuns = frozenset


@dataclass(frozen=True, slots=True)
class Ages:
    """How old things may become; None: for ever. Runs count from their end, and take their own logs with them.

    Backfills and bulk actions become as old as runs; problems, as the last run that is left of them.
    """

    runs: timedelta | None = None
    logs: timedelta | None = None
    events: timedelta | None = None
    # Whether runs are archived, so that the logs of those that are there wait and go with them.
    archived: bool = False
    # Runs that were copied back from the archive, and stay with their logs however old they are.
    kept: AskRuns = _no_runs
    # Runs that were ever copied back: the archive names the files of their results.
    restored: AskRuns = _no_runs


def purge(*, ages: Ages, now: datetime, pause_seconds: float = PAUSE_SECONDS) -> Counter[str]:
    """Delete what is older than `ages`; how many rows of each kind that were."""
    deleted: Counter[str] = Counter()
    for _ in _steps(ages, now, deleted, pause_seconds, _every_row):
        pass
    return deleted


def retain(*, ages: Ages, now: datetime) -> Counter[str]:
    """As `purge`, but rows that are dropped with their day go with it, up to a day later."""
    deleted: Counter[str] = Counter()
    for _ in _steps(ages, now, deleted, PAUSE_SECONDS, row_by_row):
        pass
    return deleted


def purge_for(*, seconds: float, ages: Ages, now: datetime) -> tuple[Counter[str], bool]:
    """Delete what is older than `ages` until the time is up; how many rows of each kind, and whether that was all."""
    deleted: Counter[str] = Counter()
    until = time.monotonic() + seconds
    for _ in _steps(ages, now, deleted, PAUSE_SECONDS, _every_row):
        if time.monotonic() > until:
            return deleted, False
    return deleted, True


def old_rows(*, ages: Ages, now: datetime) -> list[Rows]:
    """Flow runs, logs and events that are older than `ages`: what `purge` looks through, by an index.

    More than it deletes: a run stays while something nested in it is open or younger.
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
    """Delete some thousands of rows at a time, oldest families of runs first."""
    if ages.runs is not None:
        for family in old_families(before=now - ages.runs, kept=ages.kept):
            _delete_runs(family, now, deleted, pause_seconds, *_removers(ages.restored()))
            yield
        # Their flow run is gone, so we cannot tell whether it was archived.
        remove = _keep_results if ages.archived else remove_results_of_task_runs
        yield from _chunks(_left_by_caches(now - ages.runs), deleted, pause_seconds, remove_results=remove)
        # They go with the last of their runs, and nobody counts them.
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
    """Those are counted by their own age."""
    if rows.model is not Log or ages.logs is None:
        return rows
    return rows.filter(timestamp__gte=now - ages.logs)


def _kind(model: type[Model]) -> str:
    return str(model._meta.verbose_name_plural)


# --- what is old -----------------------------------------------------------------------------------------------------


def old_families(*, before: datetime, kept: AskRuns = _no_runs) -> Iterator[list[UUID]]:
    """Runs that ended before then, some at a time, each together with all that is nested in it: the inner ones first.

    Left out with all its family is a run in which something is nested that is open, or has ended later, or is kept.
    """
    ended = FlowRun.objects.filter(_has_ended(before))
    after: tuple[datetime, UUID] | None = None
    while page := list(_page(ended, after)):
        after = page[-1][:2]
        if family := _with_nested(_roots_of(page), before, kept):
            yield family


def _roots_of(page: Sequence[tuple[datetime, UUID, UUID | None]]) -> list[UUID]:
    """Leave out what is nested in another run. Asked apart from the page: joined, a planner may read all task runs."""
    parents = {parent for _, _, parent in page if parent is not None}
    above = set(TaskRun.objects.filter(pk__in=parents, flow_run__isnull=False).values_list("pk", flat=True))
    return [run_id for _, run_id, parent in page if parent not in above]


def _has_ended(before: datetime) -> Q:
    # The second condition is implied by the first, and has an index.
    return Q(state_type__in=_OVER, state_timestamp__lt=before) & Q(expected_start_time__lt=before)


def _page(ended: QuerySet[FlowRun, Any], after: tuple[datetime, UUID] | None) -> Rows:
    if after is not None:
        later = Q(expected_start_time__gt=after[0]) | Q(expected_start_time=after[0], pk__gt=after[1])
        # The first condition is implied by the second, and is where the index is entered: each page costs the same.
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
    # Asked after the rows were read: whoever copies runs back says so before.
    stay = kept() if families else frozenset()
    whole = [family for family in families.values() if stay.isdisjoint(family)]
    return [run_id for family in whole for run_id in reversed(family)]


@dataclass(frozen=True, slots=True)
class OldDays:
    """Days that are dropped whole, but for rows that stay: their ids in SQL, found by indexes of the day."""

    model: type[Model]
    before: datetime
    keep: str
    params: tuple[Any, ...]

    @property
    def table(self) -> str:
        return self.model._meta.db_table


def _by_day(ages: Ages, now: datetime) -> Iterator[OldDays]:
    # What its maker dates later than its id says stays until it is that old.
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
    """Return the run for which a log line stays."""
    of_line = FlowRun.objects.filter(pk=OuterRef("flow_run_id"))
    kept = frozenset() if ages.archived else ages.kept()
    if ages.archived or len(kept) > MOST_NAMED:
        return of_line
    return of_line.filter(Q(state_type__in=UNFINISHED_TYPES) | Q(pk__in=kept))


def _by_age(ages: Ages, now: datetime, beside_days: Callable[[str], Q] = _every_row) -> Iterator[Rows]:
    yield CacheEntry.objects.filter(expires_at__lt=now)
    if ages.runs is not None:
        # Its times first: they are many, and its own row is what finds them.
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
    """Drop whole days; those that are not, because so much of them stays."""
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
    """Return the other rows of runs. The newest artifact of a key stays: people look it up by the key."""
    newest = ArtifactCollection.objects.filter(latest_id=OuterRef("pk"))
    return [
        Artifact.objects.filter(~Exists(newest), flow_run_id__in=runs),
        Log.objects.filter(flow_run_id__in=runs),
    ]


def _task_runs(runs: Sequence[UUID], now: datetime) -> Rows:
    """All but those with a result that the cache still gives out."""
    given = CacheEntry.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gte=now)).values("task_run_state")
    cached = TaskRunState.objects.filter(pk__in=given).values("task_run")
    return TaskRun.objects.filter(flow_run__in=runs).exclude(pk__in=cached)


def _left_by_caches(before: datetime) -> Rows:
    """Task runs that outlived their flow run for a cache, which has forgotten them, or has something newer by now."""
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
    """Delete runs that are over with everything below them, but no files of results: the archive names them."""
    _delete_runs(family, now, deleted, PAUSE_SECONDS, _keep_results, _keep_results)


def _keep_results(runs: Sequence[UUID]) -> None:
    pass


def _removers(restored: frozenset[UUID]) -> tuple[RemoveResults, RemoveResults]:
    """Return who removes results of task runs, and of flow runs, but for those of runs that the archive has."""

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
    # With a task run go its states, some five of them.
    most = CHUNK // 5 if rows.model is TaskRun else CHUNK
    # Asked without a lock first: on SQLite a transaction holds up every writer, and mostly there is nothing.
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
    """Hold the runs, unless another ticker does or somebody took one of them up again."""
    held = FlowRun.objects.filter(pk__in=runs, state_type__in=_OVER)
    held = held.select_for_update(skip_locked=True)
    return len(held.values_list("pk", flat=True)) == len(runs)


@repeated_on_conflict
def _delete_emptied(runs: Sequence[UUID], remove_results: RemoveResults) -> int:
    """The runs themselves. What is left of their task runs is kept alone, for the cache."""
    with write_transaction():
        if not _still_over(runs):
            return 0
        TaskRun.objects.filter(flow_run__in=runs).update(flow_run=None)
        remove_results(runs)
        delete_flow_runs(FlowRun.objects.filter(pk__in=runs).values("pk"))
    return len(runs)
