"""Move old runs to the archive: they are written, read back and compared, and only then deleted from the database.

Each batch is independent. An interrupted process leaves files without a manifest, which are never read, or a batch
whose rows are still in the database: the next process compares that again and deletes the rows. Runs that changed
meanwhile are archived again, and readers use the newer version.

Several servers may do this at the same time. A manifest is written before the first row of its runs is deleted, and
`cleared.json` after the last one: so rows of a run are complete unless a batch has it that is not cleared.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Min, Model

from deployments.archive.place import ArchiveUnavailable, Batch, Place, place
from deployments.archive.rows import Column, Writer, add_rows, as_id, columns_of
from deployments.archive.selectors import query
from deployments.upkeep.selectors.old_rows import RUNS_AT_ONCE, Ages, AskRuns, in_parts, old_families
from deployments.upkeep.services.retention import delete_archived
from events.models import Event
from orchestration.database_clock import time_before
from orionflow.contract.states import TERMINAL
from runs.models import Artifact, FlowRun, FlowRunInput, FlowRunState, Log, TaskRun, TaskRunState

logger = logging.getLogger("orion.archive")

# Rows of runs in one batch; the file stays at a few megabytes and is read as a whole.
TASK_RUNS_PER_BATCH = 100_000
FLOW_RUNS_PER_BATCH = 5_000
IDS_AT_ONCE = 500
# The files of a batch: the model, and the column that relates its rows to runs.
TABLES: tuple[tuple[str, type[Model], str], ...] = (
    ("flow_runs", FlowRun, "id"),
    ("task_runs", TaskRun, "flow_run_id"),
    ("flow_run_states", FlowRunState, "flow_run_id"),
    ("task_run_states", TaskRunState, "task_run_id"),
    ("logs", Log, "flow_run_id"),
    ("artifacts", Artifact, "flow_run_id"),
    ("inputs", FlowRunInput, "flow_run_id"),
    # These are copies: events leave the database by a retention of their own.
    ("events", Event, "resource_id"),
)
_BELONGS = (Column("flow_name", "text"), Column("belongs_to", "texts"))


@dataclass(slots=True)
class Archived:
    """The result of archiving: what was written, and how many rows were deleted from the database."""

    batches: int = 0
    flow_runs: int = 0
    task_runs: int = 0
    bytes: int = 0
    deleted: Counter[str] = field(default_factory=Counter)


def archive_age() -> timedelta | None:
    """Return the age after which finished runs are archived; None if there is no archive."""
    if not settings.ORION_ARCHIVE_PATH:
        return None
    return timedelta(days=settings.ORION_ARCHIVE_AFTER_DAYS)


def archive_runs(*, older_than: timedelta, now: datetime) -> Archived:
    """Move runs that ended before then, with all that belongs to them, to the archive. Raises ArchiveUnavailable."""
    target, done, before = place(), Archived(), time_before(now, older_than)
    cleared = set()
    for batch in target.batches():
        if batch.is_cleared or clear(target, batch, before=before, now=now, deleted=done.deleted):
            cleared.add(batch.folder)
    for found in _batches(before, partial(target.kept, now)):
        # Check again, because gathering a batch takes a while.
        kept = target.kept(now)
        runs = [one for one in found if one not in kept]
        if not runs:
            continue
        if (written := write(target, runs, now=now, cleared=cleared)) is None:
            continue
        done.batches += 1
        done.flow_runs += written.flow_runs
        done.task_runs += written.task_runs
        done.bytes += written.bytes
        if clear(target, written, before=before, now=now, deleted=done.deleted):
            cleared.add(written.folder)
    if done.batches:
        logger.info("Archived %s flow runs in %s bytes at %s.", done.flow_runs, done.bytes, target.address)
    return done


def count_archivable(*, older_than: timedelta, now: datetime) -> int:
    return sum(
        len(family) for family in old_families(before=time_before(now, older_than), kept=partial(place().kept, now))
    )


def sparing_restored(ages: Ages, now: datetime) -> Ages:
    """Return the ages with the restored runs: these stay in the database for now, and their result files forever.

    Runs that are being archived are left to the process that does it.

    Code that reads these ages raises ArchiveUnavailable if the archive cannot be read.
    """
    if not settings.ORION_ARCHIVE_PATH:
        return ages
    where = place()
    return replace(ages, kept=lambda: where.kept(now) | _being_archived(where), restored=where.restored)


def _being_archived(where: Place) -> set[UUID]:
    """Return the runs that a process is moving to the archive, which may leave only a part of their rows for now."""
    return _runs_in(where, [batch for batch in where.batches() if not batch.is_cleared])


def _batches(before: datetime, kept: AskRuns) -> Iterator[list[UUID]]:
    """Yield whole families in batches of up to some thousands of runs. A batch has runs of one day only."""
    batch: list[UUID] = []
    tasks, day = 0, None
    for family in old_families(before=before, kept=kept):
        of_family = _day_of(family)
        more = sum(TaskRun.objects.filter(flow_run__in=part).count() for part in in_parts(family))
        is_full = len(batch) + len(family) > FLOW_RUNS_PER_BATCH or tasks + more > TASK_RUNS_PER_BATCH
        if batch and (is_full or of_family != day):
            yield batch
            batch, tasks = [], 0
        batch, tasks, day = batch + family, tasks + more, of_family
    if batch:
        yield batch


def _day_of(runs: Sequence[UUID]) -> str:
    found = (FlowRun.objects.filter(pk__in=part).aggregate(first=Min("expected_start_time")) for part in in_parts(runs))
    first = min((one["first"] for one in found if one["first"]), default=None)
    return f"{first:%Y-%m-%d}" if first else "undated"


# --- writing ---------------------------------------------------------------------------------------------------------


def write(
    target: Place, runs: Sequence[UUID], *, now: datetime, cleared: Collection[str] = frozenset()
) -> Batch | None:
    """Write a batch of runs, with nested ones first, and everything that belongs to them.

    `cleared` are the folders of the batches that were cleared before. Runs in any other batch are left out, because
    another process deletes them; None if that has all of them.
    """
    with tempfile.TemporaryDirectory(prefix="orion-archive-") as folder:
        files = {}
        for name, model, owner in TABLES:
            files[name] = _write_table(Path(folder), name, model, owner, runs)
        # After the rows were read: if no manifest has the runs even now, nobody had begun to delete them before.
        if others := _archived_by_others(target, runs, cleared):
            left = [one for one in runs if one not in others]
            return write(target, left, now=now, cleared=cleared) if left else None
        rows = (FlowRun.objects.filter(pk__in=part) for part in in_parts(runs))
        times = (row for some in rows for row in some.values_list("expected_start_time", "created"))
        moments = [expected or created for expected, created in times]
        if not moments:
            raise ArchiveUnavailable("The runs went while they were archived; nothing was deleted.")
        description = {
            "since": min(moments).isoformat(),
            "until": max(moments).isoformat(),
            "first": str(min(runs)),
            "last": str(max(runs)),
            "written": now.isoformat(),
        }
        return target.add(day=f"{min(moments).astimezone(UTC):%Y-%m-%d}", files=files, description=description)


def _archived_by_others(target: Place, runs: Sequence[UUID], cleared: Collection[str]) -> set[UUID]:
    """Return those of the runs that a batch has which is not among the cleared ones."""
    first, last = min(runs), max(runs)
    batches = [one for one in target.batches() if one.folder not in cleared and one.first <= last and first <= one.last]
    return _runs_in(target, batches).intersection(runs)


def _runs_in(target: Place, batches: Sequence[Batch]) -> set[UUID]:
    rows = query(target, batches, "flow_runs", "SELECT id FROM {files}", []) if batches else []
    return {as_id(row["id"]) for row in rows}


def _write_table(folder: Path, name: str, model: type[Model], owner: str, runs: Sequence[UUID]) -> tuple[Path, int]:
    columns = columns_of(model)
    writer = Writer(folder / f"{name}.parquet", [*columns, *(_BELONGS if model is FlowRun else ())])
    names = [one.name for one in columns]
    for begin in range(0, len(runs), IDS_AT_ONCE):
        chunk = runs[begin : begin + IDS_AT_ONCE]
        if model is FlowRun:
            writer.add(_flow_runs(FlowRun.objects.filter(pk__in=chunk), names))
            continue
        for owners in _owners(model, chunk):
            add_rows(writer, model._default_manager.filter(**{f"{owner}__in": owners}), names)
    writer.close()
    return writer.path, writer.rows


def _owners(model: type[Model], runs: Sequence[UUID]) -> Iterable[Sequence[object]]:
    """Return the values by which the rows of the runs are found."""
    if model is TaskRunState:
        return _task_runs_of(runs)
    return [[f"prefect.flow-run.{one}" for one in runs]] if model is Event else [runs]


def _task_runs_of(runs: Sequence[UUID]) -> Iterator[list[UUID]]:
    """Return their ids in chunks: for a join in one statement, a planner may read all states in the table."""
    ids = list(TaskRun.objects.filter(flow_run__in=runs).order_by().values_list("pk", flat=True))
    for begin in range(0, len(ids), IDS_AT_ONCE):
        yield ids[begin : begin + IDS_AT_ONCE]


def _flow_runs(rows: Any, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the rows with the name of each run's flow, and the objects of which a user must see one to see the run."""
    found = list(rows.order_by("pk").select_related("flow"))
    return [
        (*(getattr(run, name) for name in names), run.flow.name, sorted(set(belongs)))
        for run, belongs in zip(found, _belongs(found), strict=True)
    ]


def _belongs(runs: Sequence[FlowRun]) -> list[list[str]]:
    """Return the deployments, queues and tags of the runs, and of the runs in which they are nested."""
    own = {run.pk: _own(run) for run in runs}
    above = {run.pk: run.parent_task_run_id for run in runs}
    level = {pk: parent for pk, parent in above.items() if parent is not None}
    while level:
        tasks = TaskRun.objects.filter(pk__in=set(level.values()), flow_run__isnull=False)
        callers = dict(tasks.values_list("pk", "flow_run_id"))
        parents = FlowRun.objects.in_bulk(set(callers.values()))
        deeper = {}
        for pk, task in level.items():
            caller = parents.get(callers.get(task))
            if caller is not None:
                own[pk] = own[pk] + _own(caller)
                if caller.parent_task_run_id is not None:
                    deeper[pk] = caller.parent_task_run_id
        level = deeper
    return [own[run.pk] for run in runs]


def _own(run: FlowRun) -> list[str]:
    ids = [f"deployment:{run.deployment_id}"] if run.deployment_id else []
    ids += [f"queue:{run.work_queue_id}"] if run.work_queue_id else []
    return ids + [f"tag:{tag}" for tag in run.tags if isinstance(tag, str)]


# --- deleting --------------------------------------------------------------------------------------------------------


def clear(target: Place, batch: Batch, *, before: datetime, now: datetime, deleted: Counter[str]) -> bool:
    """Compare the batch with its manifest, and delete its runs from the database, except those that changed since.

    Whatever the batch says, delete only runs that ended before `before`: other parties may write to the archive, too.
    Runs that were copied back stay for now. If other unchanged runs are left, because another transaction has locked or
    started one of them, or because they are too young for this process, the batch is not marked as cleared, and the
    next process compares it again. Return whether it is marked.
    """
    if flaws := target.flaws(batch):
        raise ArchiveUnavailable(f"{flaws[0]} Nothing of it is deleted from the database.")
    kept = {name: _versions(target, batch, name) for name in ("flow_runs", "task_runs", "logs", "artifacts")}
    runs = list(kept["flow_runs"])
    is_cleared = True
    for begin in range(0, len(runs), RUNS_AT_ONCE):
        same = _unchanged(runs[begin : begin + RUNS_AT_ONCE], kept)
        # Check this after the rows were read: a restore writes its note before it inserts rows.
        restored = target.kept(now) if same else frozenset()
        ended = {run: moment for run, moment in same.items() if run not in restored}
        if gone := [run for run, moment in ended.items() if moment < before]:
            delete_archived(gone, now=now, deleted=deleted)
        is_cleared = is_cleared and not FlowRun.objects.filter(pk__in=list(ended)).exists()
    if is_cleared:
        target.mark_cleared(batch, now=now)
    return is_cleared


def _version_columns(name: str) -> list[str]:
    return {"flow_runs": ["id", "seq", "updated"], "task_runs": ["id", "seq", "updated"]}.get(name, ["id"])


def _versions(target: Place, batch: Batch, name: str) -> dict[UUID, tuple[Any, ...]]:
    table = target.table(batch, name, _version_columns(name))
    columns = [table.column(one).to_pylist() for one in _version_columns(name)]
    return {as_id(id): tuple(rest) for id, *rest in zip(*columns, strict=True)}


def _unchanged(runs: Sequence[UUID], kept: dict[str, dict[UUID, tuple[Any, ...]]]) -> dict[UUID, datetime]:
    """Return when the runs ended that are unchanged since they were archived, and have no rows that were not archived.

    The time is read together with the version, so that it is not that of another state.
    """
    over = FlowRun.objects.filter(pk__in=runs, state_type__in=TERMINAL, state_timestamp__isnull=False)
    found = over.values_list("state_timestamp", *_version_columns("flow_runs"))
    ended, there = {}, {}
    for moment, id, *version in found:
        ended[id], there[id] = moment, tuple(version)
    changed = {id for id, version in there.items() if kept["flow_runs"].get(id) != version}
    tasks = TaskRun.objects.filter(flow_run__in=runs).values_list("flow_run_id", *_version_columns("task_runs"))
    changed |= {run for run, id, *version in tasks.iterator() if kept["task_runs"].get(id) != tuple(version)}
    for name, model in (("logs", Log), ("artifacts", Artifact)):
        beside: Any = model._default_manager.filter(flow_run_id__in=runs).values_list("flow_run_id", "pk")
        changed |= {run for run, id in beside.iterator() if id not in kept[name]}
    return {id: ended[id] for id in runs if id in there and id not in changed}
