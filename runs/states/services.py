"""Fold the states that an earlier version of Orion stored as rows, like the writer of states folds new ones.

Each chunk is one transaction, which also stores the position. So other writers work in between, and a stopped process
continues from the last position. States that are not folded are read from their rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from orchestration.core.folding import MOST_STATES, FoldedState, fold, is_usual
from orchestration.core.runs import Run
from orchestration.core.states import State, StateDetails, StateType
from orchestration.database_clock import current_time
from orchestration.json_columns import details_from, trail_from
from orchestration.tables import Dialect, dialect, fetch, update_rows
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.states import TERMINAL, in_order
from runs.models import Conversion, TaskRunState

NAME = "folded states"
RUNS_AT_ONCE = 1_000

_ENDED = ", ".join(map(repr, in_order(TERMINAL)))
_LOCKED = " FOR NO KEY UPDATE SKIP LOCKED"
_RUNS = (
    "SELECT id, seq, flow_run_id, expected_start_time, start_time, end_time, state_id FROM runs_taskrun "
    f"WHERE folded_states IS NULL AND seq > 0 AND state_type IN ({_ENDED}) AND id > %s ORDER BY id LIMIT %s"
)
_STATES = (
    "SELECT s.task_run_id, s.seq, s.id, s.type, s.name, s.timestamp, s.message, s.data IS NOT NULL, s.details, "
    "s.trail, s.verdict, s.proposal_id IS NOT NULL, s.client_timestamp, s.epoch, s.author, "
    "EXISTS (SELECT 1 FROM runs_cacheentry c WHERE c.task_run_state_id = s.id) "
    "FROM runs_taskrunstate s WHERE s.task_run_id IN "
)


class Progress(NamedTuple):
    """The number of task runs examined so far, and the number of those whose states were folded."""

    looked_at: int
    folded: int


def is_folded() -> bool:
    """Whether the conversion has finished."""
    return Conversion.objects.filter(name=NAME, finished__isnull=False).exists()


def fold_stored_states(on_progress: Callable[[Progress], None], *, at_once: int = RUNS_AT_ONCE) -> Progress:
    """Fold the remaining states; call `on_progress` after each chunk."""
    progress = Progress(0, 0)
    with _as_long_as_it_takes():
        while chunk := _fold_chunk(at_once):
            progress = Progress(progress.looked_at + chunk.looked_at, progress.folded + chunk.folded)
            on_progress(progress)
            # Let threads that wait for a lock run.
            time.sleep(0)
    return progress


@contextmanager
def _as_long_as_it_takes() -> Iterator[None]:
    """Switch off PostgreSQL's time limits for requests: on a busy machine a chunk may compute for longer."""
    if connection.vendor != "postgresql":
        yield
        return
    limits = ("statement_timeout", "idle_in_transaction_session_timeout")
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {limit} = 0" for limit in limits))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(f"RESET {limit}" for limit in limits))


@repeated_on_conflict
def _fold_chunk(at_once: int) -> Progress | None:
    """Fold the states of the next runs; None when there are no more."""
    with write_transaction():
        done, _ = Conversion.objects.get_or_create(name=NAME)
        if done.finished is not None:
            return None
        runs = _next_runs(done.position, at_once)
        if not runs:
            Conversion.objects.filter(name=NAME).update(finished=current_time())
            return None
        folded = _fold(runs)
        Conversion.objects.filter(name=NAME).update(position=dialect().read_uuid(runs[-1][0]))
        return Progress(len(runs), folded)


def _next_runs(after: UUID, most: int) -> list[tuple[Any, ...]]:
    # A finished run is written only when it starts again. Rows that such a writer has locked are skipped, and keep
    # their states as rows.
    locked = _LOCKED if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(_RUNS + locked, [dialect().uuid(after), most])
        return list(cursor.fetchall())


def _fold(runs: Sequence[tuple[Any, ...]]) -> int:
    db = dialect()
    by_id = {db.read_uuid(row[0]): row for row in runs}
    rows = fetch(_STATES, list(by_id), " ORDER BY s.task_run_id, s.seq")
    updates, ids = [], []
    for key, states in groupby(rows, key=lambda row: row[0]):
        run_id = db.read_uuid(key)
        found = _first_usual(by_id[run_id], list(states), db)
        if found:
            updates.append((fold(found), db.uuid(run_id)))
            ids += [state.id for state in found]
    update_rows("runs_taskrun", ("folded_states",), updates, ("id",))
    obsolete = TaskRunState.objects.filter(pk__in=ids)
    # Without looking for rows that refer to them: states with a cache entry are not folded.
    obsolete._raw_delete(obsolete.db)
    return len(updates)


def _first_usual(row: Sequence[Any], states: Sequence[Sequence[Any]], db: Dialect) -> list[FoldedState]:
    """Return the first states of a run that can be folded."""
    run_id, flow_run_id = db.read_uuid(row[0]), None if row[2] is None else db.read_uuid(row[2])
    times = (None if one is None else db.read_moment(one) for one in row[3:6])
    expected, start, end = times
    run = Run(id=run_id, kind="task-run", expected_start_time=expected, start_time=start, end_time=end)
    own = StateDetails(flow_run_id=flow_run_id, task_run_id=run_id)
    found: list[FoldedState] = []
    for place, one in enumerate(states[:MOST_STATES], 1):
        _, seq, id, kind, name, at, message, has_data, details, trail, verdict, is_answer, client, *rest = one
        epoch, author, is_cached = rest
        if seq != place or has_data or verdict != "ACCEPT" or is_answer or is_cached:
            break
        read = own if details == "{}" else details_from(details, flow_run_id, run_id)
        state = State(
            id=db.read_uuid(id),
            type=StateType(kind),
            name=name,
            message=message,
            timestamp=db.read_moment(at),
            details=read,
        )
        lines = trail_from(trail)
        if not is_usual(run, state, lines, own) or not _is_plain(details):
            break
        assert state.id is not None
        assert state.timestamp is not None
        found.append(
            FoldedState(
                id=state.id,
                type=state.type,
                timestamp=state.timestamp,
                trail=lines,
                epoch=epoch,
                client_timestamp=None if client is None else db.read_moment(client),
                author=author,
                is_untrackable=read.untrackable_result,
            )
        )
    return found


def _is_plain(text: str) -> bool:
    """Whether these details have only keys that folded states can represent."""
    return text == "{}" or set(json.loads(text)) <= {"untrackable_result"}
