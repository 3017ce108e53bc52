"""Runs in the archive, read by DuckDB from the files that the manifests name: pages of runs, and single runs."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any
from uuid import UUID

from deployments.archive.place import ArchiveUnavailable, Batch, Place, is_configured, needed, place
from deployments.archive.rows import as_id, as_model, in_utc
from events.models import Event
from orchestration.sight import current_sight
from runs.models import Artifact, FlowRun, FlowRunState, Log, TaskRun, TaskRunState

logger = logging.getLogger("orion.archive")

# Batches in one query. The newest are read first, until a page is full.
BATCHES_AT_ONCE = 24
MOST_TASK_RUNS, MOST_LINES = 1_000, 1_000
# Limits of one query, so that a file that unpacks to a huge size fails instead of the server. Nothing is written to
# disk.
_BOUNDS = {"threads": "2", "memory_limit": "1GB", "temp_directory": ""}
_CONSTANT = re.compile(r"'((?:[^']|'')*)'")
_LISTED = (
    "id", "name", "flow_id", "flow_name", "state_type", "state_name", "expected_start_time", "created", "start_time",
    "end_time", "run_count", "deployment_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """The runs to search for: by expected time, state types, flow, and part of the name."""

    since: datetime | None = None
    until: datetime | None = None
    states: Sequence[str] = ()
    flow: str = ""
    name: str = ""
    # The last run of the previous page.
    after: tuple[datetime, UUID] | None = None


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in a list of the archive."""

    id: UUID
    name: str
    flow_id: UUID
    flow_name: str
    state_type: str
    state_name: str
    expected: datetime
    start_time: datetime | None
    end_time: datetime | None
    run_count: int
    deployment_id: UUID | None
    batch: str


@dataclass(frozen=True, slots=True)
class Found:
    """Runs of the archive. `reached`: there was no time to search runs expected at this moment or earlier."""

    runs: Sequence[ListedRun]
    reached: datetime | None = None


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """A run with everything that the archive has of it, as unsaved objects."""

    run: FlowRun
    flow_name: str
    batch: Batch
    states: Sequence[FlowRunState]
    task_runs: Sequence[TaskRun]
    task_run_states: Mapping[UUID, Sequence[TaskRunState]]
    logs: Sequence[Log]
    artifacts: Sequence[Artifact]
    events: Sequence[Event]
    # The total numbers, because at most a limited number of each is read.
    task_run_count: int = 0
    log_count: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """The objects on which a user has rights who sees only a part of all runs."""

    names: Sequence[str] = field(default_factory=tuple)


def batches_of(where: Place | None = None) -> list[Batch]:
    return (where or place()).batches()


def archived_runs(wanted: Wanted, *, limit: int) -> Sequence[ListedRun]:
    """Return the newest matching runs by their expected time."""
    return archived_page(wanted, limit=limit).runs


def archived_page(wanted: Wanted, *, limit: int, patience: float = inf) -> Found:
    """Return the newest matching runs, and after `patience` seconds how far back the search came."""
    where, began = place(), time.monotonic()
    seen = _seen()
    if seen is not None and not seen.names:
        return Found([])
    found: dict[UUID, ListedRun] = {}
    every = where.batches()
    left = [batch for batch in every if _may_hold(batch, wanted)]
    left.sort(key=lambda batch: batch.until, reverse=True)
    newest: list[ListedRun] = []
    while left:
        now, left = left[:BATCHES_AT_ONCE], left[BATCHES_AT_ONCE:]
        found |= {run.id: run for run in _present(where, now, wanted, seen, limit, every)}
        newest = sorted(found.values(), key=lambda run: (run.expected, run.id), reverse=True)[:limit]
        reached = left[0].until if left else None
        if len(newest) == limit and (reached is None or newest[-1].expected > reached):
            break
        # Continue, unless the search has come further back than the previous page.
        is_progress = reached is not None and (wanted.after is None or reached < wanted.after[0])
        if reached is not None and is_progress and time.monotonic() - began >= patience:
            return Found([run for run in newest if run.expected > reached], reached)
    return Found(newest)


def _may_hold(batch: Batch, wanted: Wanted) -> bool:
    until = min((one for one in (wanted.until, wanted.after and wanted.after[0]) if one is not None), default=None)
    return (wanted.since is None or batch.until >= wanted.since) and (until is None or batch.since <= until)


def _present(
    where: Place, batches: Sequence[Batch], wanted: Wanted, seen: Seen | None, limit: int, every: Sequence[Batch]
) -> list[ListedRun]:
    """Return the listed runs without those that have a newer version, which may no longer match or be hidden.

    A run that changed after it was archived is in the archive twice.
    """
    asked = limit
    while True:
        listed = list(_listed(where, batches, wanted, seen, asked))
        obsolete = _obsolete(where, listed, every)
        kept = [run for run in listed if (run.id, run.batch) not in obsolete]
        if len(listed) < asked or len(kept) >= limit:
            return kept
        asked += len(listed) - len(kept)


def _obsolete(where: Place, listed: Sequence[ListedRun], every: Sequence[Batch]) -> set[tuple[UUID, str]]:
    """Return the id and batch of runs that a later batch also contains."""
    written = {batch.folder: batch.written for batch in every}
    later = [
        batch
        for batch in every
        if any(batch.written > written[run.batch] and batch.first <= run.id <= batch.last for run in listed)
    ]
    if not later:
        return set()
    select = "SELECT id, filename FROM {files} WHERE id IN (SELECT unnest(?))"
    rows = query(where, later, "flow_runs", select, [[run.id for run in listed]])
    newest: dict[UUID, datetime] = {}
    for row in rows:
        id, at = as_id(row["id"]), written[_folder(where, later, row["filename"])]
        newest[id] = max(at, newest.get(id, at))
    return {(run.id, run.batch) for run in listed if run.id in newest and newest[run.id] > written[run.batch]}


def _listed(
    where: Place, batches: Sequence[Batch], wanted: Wanted, seen: Seen | None, limit: int
) -> Iterator[ListedRun]:
    expected = "COALESCE(expected_start_time, created)"
    conditions: list[str] = ["TRUE"]
    params: list[Any] = []
    for condition, value in (
        (f"{expected} >= ?", wanted.since),
        (f"{expected} < ?", wanted.until),
        ("state_type IN (SELECT unnest(?))", list(wanted.states) or None),
        ("flow_name = ?", wanted.flow or None),
        ("contains(lower(name), lower(?))", wanted.name or None),
        ("list_has_any(belongs_to, ?)", list(seen.names) if seen is not None else None),
    ):
        if value is not None:
            conditions.append(condition)
            params.append(value)
    if wanted.after is not None:
        conditions.append(f"({expected} < ? OR {expected} = ? AND id < ?)")
        params += [wanted.after[0], wanted.after[0], wanted.after[1]]
    rows = query(
        where,
        batches,
        "flow_runs",
        f"SELECT {', '.join(_LISTED)}, filename FROM {{files}} WHERE {' AND '.join(conditions)} "
        f"ORDER BY {expected} DESC, id DESC LIMIT {int(limit)}",
        params,
    )
    for row in rows:
        yield ListedRun(
            id=as_id(row["id"]),
            name=row["name"],
            flow_id=as_id(row["flow_id"]),
            flow_name=row["flow_name"],
            state_type=row["state_type"] or "",
            state_name=row["state_name"] or "",
            expected=in_utc(row["expected_start_time"] or row["created"]),
            start_time=row["start_time"] and in_utc(row["start_time"]),
            end_time=row["end_time"] and in_utc(row["end_time"]),
            run_count=row["run_count"] or 0,
            deployment_id=row["deployment_id"] and as_id(row["deployment_id"]),
            batch=_folder(where, batches, row["filename"]),
        )


def may_be_archived(run_id: UUID) -> bool:
    """Whether a run that is not in the database may be in the archive, according to the manifests."""
    return is_configured() and any(batch.first <= run_id <= batch.last for batch in place().batches())


def archived_run(run_id: UUID) -> ArchivedRun | None:
    """Return an archived run; None if there is none, or if the user may not see it."""
    where = place()
    batches = [batch for batch in where.batches() if batch.first <= run_id <= batch.last]
    rows = query(where, batches, "flow_runs", "SELECT * FROM {files} WHERE id = ?", [run_id]) if batches else []
    seen = _seen()
    by_batch = {batch.folder: batch for batch in batches}
    versions = [(by_batch[_folder(where, batches, row["filename"])], row) for row in rows]
    if not versions:
        return None
    batch, row = max(versions, key=lambda one: one[0].written)
    if seen is not None and not set(seen.names) & set(row["belongs_to"] or ()):
        return None

    def below(name: str, column: str, order: str, most: int) -> tuple[list[dict[str, Any]], int]:
        counted = query(where, [batch], name, f"SELECT count(*) AS n FROM {{files}} WHERE {column} = ?", [run_id])
        select = f"SELECT * FROM {{files}} WHERE {column} = ? ORDER BY {order} LIMIT {most}"
        return query(where, [batch], name, select, [run_id]), counted[0]["n"]

    states, _ = below("flow_run_states", "flow_run_id", "seq", MOST_TASK_RUNS)
    tasks, task_count = below("task_runs", "flow_run_id", "COALESCE(expected_start_time, created), id", MOST_TASK_RUNS)
    lines, line_count = below("logs", "flow_run_id", "timestamp, id", MOST_LINES)
    artifacts, _ = below("artifacts", "flow_run_id", "created", MOST_TASK_RUNS)
    events = _events_of(where, batch, run_id)
    of_tasks = _states_of(where, batch, [as_id(one["id"]) for one in tasks])
    return ArchivedRun(
        run=as_model(FlowRun, row),
        flow_name=row["flow_name"],
        batch=batch,
        states=[as_model(FlowRunState, one) for one in states],
        task_runs=[as_model(TaskRun, one) for one in tasks],
        task_run_states=of_tasks,
        logs=[as_model(Log, one) for one in lines],
        artifacts=[as_model(Artifact, one) for one in artifacts],
        events=events,
        task_run_count=task_count,
        log_count=line_count,
    )


def _events_of(where: Place, batch: Batch, run_id: UUID) -> list[Event]:
    """Return the events of a run. Batches of earlier versions have none."""
    if "events" not in batch.files:
        return []
    select = f"SELECT * FROM {{files}} WHERE resource_id = ? ORDER BY occurred, id LIMIT {MOST_LINES}"
    found = query(where, [batch], "events", select, [f"prefect.flow-run.{run_id}"])
    return [as_model(Event, row) for row in found]


def _states_of(where: Place, batch: Batch, tasks: Sequence[UUID]) -> dict[UUID, list[TaskRunState]]:
    found: dict[UUID, list[TaskRunState]] = {}
    if tasks and batch.files["task_run_states"].rows:
        select = "SELECT * FROM {files} WHERE task_run_id IN (SELECT unnest(?)) ORDER BY task_run_id, seq"
        for row in query(where, [batch], "task_run_states", select, [list(tasks)]):
            state = as_model(TaskRunState, row)
            found.setdefault(state.task_run_id, []).append(state)
    return found


def _seen() -> Seen | None:
    """Return the objects that limit what is visible; None for a user who may see everything."""
    sight = current_sight.get()
    if sight is None:
        return None
    reach = sight.reach
    if reach.runs != "(NULL)":
        # The process of one run: archived runs do not belong to it.
        return Seen()
    names = [f"deployment:{UUID(one)}" for one in _CONSTANT.findall(reach.deployments)]
    names += [f"queue:{UUID(one)}" for one in _CONSTANT.findall(reach.queues)]
    names += [f"tag:{one}".replace("''", "'") for one in _CONSTANT.findall(reach.tags)]
    return Seen(names)


# --- DuckDB ----------------------------------------------------------------------------------------------------------


def query(
    where: Place, batches: Sequence[Batch], name: str, select: str, params: Sequence[Any]
) -> list[dict[str, Any]]:
    """Return rows from one kind of file of these batches. Of the SQL, only `{files}` is filled in."""
    duckdb = needed("duckdb")
    files = [where.url(f"{batch.folder}/{batch.files[name].name}") for batch in batches if batch.files[name].rows]
    if not files:
        return [{"n": 0}] if "count(*)" in select else []
    try:
        with duckdb.connect(":memory:", config=_BOUNDS) as database:
            if not where.is_local:
                database.register_filesystem(where.files)
            database.execute("SET TimeZone = 'UTC'")
            source = "read_parquet(?, union_by_name = true, filename = true)"
            # The files are the first parameter. Fetch through Arrow, because DuckDB needs another package for datetimes
            # with a time zone.
            found = database.sql(select.format(files=source), params=[files, *params])
            rows: list[dict[str, Any]] = found.to_arrow_table().to_pylist()
            return rows
    except (duckdb.Error, OSError) as error:
        logger.warning("Files of the archive cannot be read: %s", error)
        message = f"Files of the archive cannot be read ({type(error).__name__}); `orion archive verify` says which."
        raise ArchiveUnavailable(message) from error


def _folder(where: Place, batches: Sequence[Batch], filename: str) -> str:
    return next(batch.folder for batch in batches if filename.startswith(where.url(f"{batch.folder}/")))
