"""Archived runs are copied back into the database for some time. The archive keeps its files unchanged.

The runs are old, so archiving or retention would remove them again at once; the archive itself records until when they
stay (`Place.keep`). Rows are added in small transactions, so that other writers do not wait long, and existing rows are
kept: a restore that was interrupted can be repeated. Until it is complete, the rows stay, because they are not the
whole run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import router
from django.db.models import Model

from deployments.archive.place import Batch, Place, place
from deployments.archive.rows import as_id, as_model
from deployments.archive.selectors import query
from deployments.archive.services import TABLES
from events.models import Event
from orchestration.database_clock import time_after
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import Flow, FlowRun, TaskRun, TaskRunState

ROWS_AT_ONCE, ROWS_PER_INSERT = 1_000, 100
# The tables of rows that belong to a run. Events have a retention of their own.
_BELOW = [one for one in TABLES if one[1] not in (FlowRun, Event)]


def restore_run(run_id: UUID, *, keep: timedelta, now: datetime) -> Counter[str]:
    """Copy back a run, the runs in which it is nested, and all runs nested in those. Raises ArchiveUnavailable.

    Return the number of rows added by kind: none if the archive does not have the run, or the database already does.
    """
    where = place()
    batches = [batch for batch in where.batches() if batch.first <= run_id <= batch.last]
    batches.sort(key=lambda batch: batch.written, reverse=True)
    for batch in batches:
        if query(where, [batch], "flow_runs", "SELECT id FROM {files} WHERE id = ?", [run_id]):
            return _restore(where, batch, _family(where, batch, [run_id]), time_after(now, keep), now)
    return Counter()


def restore_day(day: date, *, keep: timedelta, now: datetime) -> Counter[str]:
    """Copy back all runs that were expected on a day (UTC), the runs in which they are nested, and all nested in those.

    Return the number of rows added by kind. Raises ArchiveUnavailable.
    """
    where, added = place(), Counter[str]()
    begin = datetime.combine(day, time(), UTC)
    end = begin + timedelta(days=1)
    expected = "COALESCE(expected_start_time, created)"
    of_day = f"SELECT id FROM {{files}} WHERE {expected} >= ? AND {expected} < ? ORDER BY id"
    batches = [batch for batch in where.batches() if batch.since < end and batch.until >= begin]
    # Restore the newest version of each run first.
    for batch in sorted(batches, key=lambda batch: batch.written, reverse=True):
        runs = [as_id(row["id"]) for row in query(where, [batch], "flow_runs", of_day, [begin, end])]
        added += _restore(where, batch, _family(where, batch, runs), time_after(now, keep), now)
    return added


def _outermost(where: Place, batch: Batch, runs: Sequence[UUID]) -> list[UUID]:
    """Return the outermost runs around these, as far as the batch has them: the run itself if it is not nested."""
    parents = "SELECT id, parent_task_run_id AS above FROM {files} WHERE id IN (SELECT unnest(?)) AND above IS NOT NULL"
    callers = "SELECT id, flow_run_id AS above FROM {files} WHERE id IN (SELECT unnest(?)) AND above IS NOT NULL"
    level, seen, outermost = set(runs), set[UUID](), set[UUID]()
    while level:
        seen |= level
        task_of = _above(query(where, [batch], "flow_runs", parents, [list(level)]))
        caller_of = _above(query(where, [batch], "task_runs", callers, [list(task_of.values())])) if task_of else {}
        above = {run: caller_of[task] for run, task in task_of.items() if task in caller_of}
        outermost |= level - above.keys()
        level = set(above.values()) - seen
    return sorted(outermost)


def _above(rows: Sequence[dict[str, Any]]) -> dict[UUID, UUID]:
    return {as_id(row["id"]): as_id(row["above"]) for row in rows}


def _family(where: Place, batch: Batch, runs: Sequence[UUID]) -> list[UUID]:
    """Return the runs, the runs in which they are nested, and all runs nested in those, which are archived together."""
    runs = _outermost(where, batch, runs)
    family = level = list(runs)
    while level:
        called = "SELECT id FROM {files} WHERE flow_run_id IN (SELECT unnest(?))"
        calls = query(where, [batch], "task_runs", called, [level])
        nested = "SELECT id FROM {files} WHERE parent_task_run_id IN (SELECT unnest(?))"
        rows = query(where, [batch], "flow_runs", nested, [[as_id(row["id"]) for row in calls]])
        level = [as_id(row["id"]) for row in rows]
        family = [*family, *level]
    return list(dict.fromkeys(family))


def _restore(where: Place, batch: Batch, runs: Sequence[UUID], until: datetime, now: datetime) -> Counter[str]:
    # Runs whose copying back was interrupted may lack some of their rows.
    there = set(FlowRun.objects.filter(pk__in=runs).values_list("pk", flat=True)) - where.in_part()
    missing = [id for id in runs if id not in there]
    added: Counter[str] = Counter()
    if not missing:
        return added
    # Write the note first, so that the runs are not archived or deleted again meanwhile.
    note = where.keep(missing, until=until, now=now)
    for rows in _rows(where, batch, "flow_runs", "id", missing):
        added["flow runs"] += _add_flow_runs(rows)
    tasks: list[UUID] = []
    for name, model, owner in _BELOW:
        for rows in _rows(where, batch, name, owner, tasks if model is TaskRunState else missing):
            if model is TaskRun:
                tasks += [as_id(row["id"]) for row in rows]
            added[str(model._meta.verbose_name_plural)] += _add(model, rows)
    where.mark_whole(note, now=now)
    return added


def _rows(where: Place, batch: Batch, name: str, owner: str, owners: Sequence[UUID]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows of a file in chunks, ordered by id."""
    select = f"SELECT * FROM {{files}} WHERE {owner} IN (SELECT unnest(?)) AND id > ? ORDER BY id LIMIT {ROWS_AT_ONCE}"
    last = UUID(int=0)
    while rows := query(where, [batch], name, select, [list(owners), last]) if owners else []:
        last = as_id(rows[-1]["id"])
        yield rows


@repeated_on_conflict
def _add_flow_runs(rows: Sequence[dict[str, Any]]) -> int:
    with write_transaction():
        runs = [as_model(FlowRun, row) for row in rows]
        flow_of = _flows({run.flow_id: row["flow_name"] for run, row in zip(runs, rows, strict=True)})
        taken = set(
            FlowRun.objects.filter(
                flow__in=flow_of.values(), idempotency_key__in=[run.idempotency_key for run in runs]
            ).values_list("flow_id", "idempotency_key")
        )
        for run in runs:
            run.flow_id = flow_of[run.flow_id]
            if (run.flow_id, run.idempotency_key) in taken:
                # Another run has used the key since.
                run.idempotency_key = None
        return _inserted(FlowRun, runs)


def _flows(names: dict[UUID, str]) -> dict[UUID, UUID]:
    """Return the flow for each restored run. A deleted flow is recreated, unless another has its name now."""
    there = set(Flow.objects.filter(pk__in=names).values_list("pk", flat=True))
    found = {id: id for id in there}
    for id, name in names.items():
        if id not in there:
            found[id] = Flow.objects.get_or_create(name=name, defaults={"id": id})[0].pk
    return found


@repeated_on_conflict
def _add(model: type[Model], rows: Sequence[dict[str, Any]]) -> int:
    with write_transaction():
        added = [as_model(model, row) for row in rows]
        if model is TaskRun:
            # Task runs that stayed alone in the database, for the cache, belong to their flow run again.
            for run in TaskRun.objects.filter(pk__in=[one.pk for one in added], flow_run__isnull=True):
                flow_run_id = next(one.flow_run_id for one in added if one.pk == run.pk)  # type: ignore[attr-defined]
                TaskRun.objects.filter(pk=run.pk).update(flow_run=flow_run_id)
        return _inserted(model, added)


def _inserted(model: type[Model], rows: Sequence[Any]) -> int:
    there = set(model._default_manager.filter(pk__in=[one.pk for one in rows]).values_list("pk", flat=True))
    new = [one for one in rows if one.pk not in there]
    for begin in range(0, len(new), ROWS_PER_INSERT):
        # Insert raw rows, because `bulk_create` would set the time of their last update to now.
        model._base_manager._insert(  # type: ignore[attr-defined]
            new[begin : begin + ROWS_PER_INSERT],
            fields=model._meta.concrete_fields,
            using=router.db_for_write(model),
            raw=True,
        )
    return len(new)
