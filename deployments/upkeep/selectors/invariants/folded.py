"""I2 and I4 for task runs whose first states are folded into their row: the states are complete, in order and legal.

SQL cannot read them, so each row is unfolded here, together with the states that follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

from deployments.upkeep.selectors.invariants.histories import has_a_reason, needs_a_reason
from deployments.upkeep.selectors.invariants.laws import Violation, rows_of
from orchestration.core.folding import Malformed, unfold
from orchestration.core.packed_trails import Trail
from orchestration.json_columns import trail_from
from orchestration.tables import Dialect, dialect
from orionflow.contract.states import USUAL_NAMES

_FOLDED = (
    "SELECT r.id, r.seq, r.folded_states, r.state_id, r.state_type, r.state_name, r.state_timestamp, f.epoch, "
    "s.seq, s.type, s.timestamp, s.epoch, s.trail FROM runs_taskrun r "
    "LEFT JOIN runs_taskrunstate s ON s.task_run_id = r.id LEFT JOIN runs_flowrun f ON f.id = r.flow_run_id "
    "WHERE r.folded_states IS NOT NULL ORDER BY r.id, s.seq"
)


@dataclass(frozen=True, slots=True)
class _Step:
    seq: int
    type: str
    at: datetime
    epoch: int
    trail: Trail


def folded_histories() -> Iterator[Violation]:
    db = dialect()
    for run_id, rows in groupby(rows_of(_FOLDED), key=lambda row: row[0]):
        for law, message in _wrong(list(rows), db):
            yield Violation(law, f"task-run {db.read_uuid(run_id)}", message)


def _wrong(rows: Sequence[Sequence[Any]], db: Dialect) -> Iterator[tuple[str, str]]:
    _, seq, folded, state_id, state_type, state_name, state_timestamp, epoch = rows[0][:8]
    current = (db.read_uuid(state_id), db.read_moment(state_timestamp)) if state_id else (None, None)
    stored = [
        _Step(row[8], row[9], db.read_moment(row[10]), row[11], trail_from(row[12]))
        for row in rows
        if row[8] is not None
    ]
    try:
        unfolded = unfold(bytes(folded))
    except Malformed as error:
        yield "I2", f"has folded states that cannot be read: {error}"
        return
    steps = [_Step(n, one.type.value, one.timestamp, one.epoch, one.trail) for n, one in enumerate(unfolded, 1)]
    steps += stored
    if [step.seq for step in steps] != list(range(1, seq + 1)):
        yield "I2", f"should have {seq} states, and has {len(unfolded)} folded ones and {len(stored)} with rows"
    if not stored and unfolded:
        last = unfolded[-1]
        if (last.id, last.type, USUAL_NAMES[last.type], last.timestamp) != (
            current[0],
            state_type,
            state_name,
            current[1],
        ):
            yield "I2", f"shows another state ({state_type}) than its last one ({last.type})"
    # The rows themselves, and their order, are checked in SQL.
    for before, after in pairwise(steps[: len(unfolded) + 1]):
        yield from _wrong_succession(before, after)
    for step in steps[: len(unfolded)]:
        if epoch is not None and step.epoch > epoch:
            yield "I4", f"has state #{step.seq} of attempt {step.epoch}, but its flow run is only at attempt {epoch}"


def _wrong_succession(before: _Step, after: _Step) -> Iterator[tuple[str, str]]:
    if after.at < before.at:
        yield "I2", f"was in state #{before.seq} after it was in state #{after.seq}"
    if after.epoch < before.epoch:
        yield "I4", f"accepted state #{after.seq} of attempt {after.epoch} when it was at attempt {before.epoch}"
    if needs_a_reason(before.type, after.type) and not has_a_reason(before.type, after.trail):
        yield "I2", f"went from {before.type} to {after.type} in state #{after.seq}, which no rule allows"
