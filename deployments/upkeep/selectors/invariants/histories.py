"""I2, I3 and I12: the states of each run are complete, in order and legal, and the run's row shows the last of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deployments.upkeep.selectors.invariants.laws import Law, Violation, rows_of, sql_of
from orchestration.core.decide import Judgement
from orchestration.core.policies import MINIMAL_FLOW, MINIMAL_TASK, POLICIES
from orchestration.json_columns import trail_from
from orchestration.tables import FLOW_RUNS, TASK_RUNS, Tables, dialect
from orionflow.contract.states import ANY, HOLDING, TERMINAL, StateType


def _laws(tables: Tables) -> tuple[Law, ...]:
    kind, runs, states, run_id = tables.kind, tables.runs, tables.states, tables.run_column
    # `folded` checks the others.
    with_rows = "WHERE r.folded_states IS NULL " if tables is TASK_RUNS else ""
    return (
        Law(
            "I2",
            kind,
            f"SELECT r.id, r.seq, COUNT(s.id), MIN(s.seq), MAX(s.seq) FROM {runs} r "
            f"LEFT JOIN {states} s ON s.{run_id} = r.id {with_rows}GROUP BY r.id, r.seq "
            "HAVING COUNT(s.id) <> r.seq OR COALESCE(MAX(s.seq), 0) <> r.seq OR COALESCE(MIN(s.seq), 1) <> 1",
            "should have {} states, numbered without gaps, and has {} from {} to {}",
        ),
        Law(
            "I2",
            kind,
            f"SELECT r.id, r.state_type, s.type FROM {runs} r JOIN {states} s ON s.{run_id} = r.id AND s.seq = r.seq "
            "WHERE r.state_id IS NULL OR r.state_id <> s.id OR r.state_type IS NULL OR r.state_type <> s.type "
            "OR r.state_name <> s.name OR r.state_timestamp <> s.timestamp",
            "shows another state ({}) than its last one ({})",
        ),
        Law(
            "I2",
            kind,
            f"SELECT b.{run_id}, a.seq, b.seq FROM {states} a "
            f"JOIN {states} b ON b.{run_id} = a.{run_id} AND b.seq = a.seq + 1 WHERE b.timestamp < a.timestamp",
            "was in state #{} after it was in state #{}",
        ),
        Law(
            "I3",
            kind,
            f"SELECT b.{run_id}, b.seq, a.seq FROM {states} a JOIN {states} b ON b.proposal_id = a.id AND b.id <> a.id",
            "has in state #{} the answer to a proposal that state #{} had answered already",
        ),
        Law(
            "I12",
            kind,
            f"SELECT s.{run_id}, s.seq FROM {states} s LEFT JOIN {runs} r ON r.id = s.{run_id} WHERE r.id IS NULL",
            "is gone, but its state #{} is there",
        ),
        Law(
            "I12",
            kind,
            f"SELECT {run_id}, seq FROM {states} "
            "WHERE type = 'CRASHED' AND author = 'crash detection' AND COALESCE(message, '') = ''",
            "crashed in state #{}, which does not say why",
        ),
    )


_ORPHANS = (
    Law(
        "I12",
        "task-run",
        "SELECT t.id, t.flow_run_id FROM runs_taskrun t LEFT JOIN runs_flowrun f ON f.id = t.flow_run_id "
        "WHERE t.flow_run_id IS NOT NULL AND f.id IS NULL",
        "belongs to flow run {}, which is gone",
    ),
    Law(
        "I12",
        "flow-run",
        "SELECT f.id, f.parent_task_run_id FROM runs_flowrun f LEFT JOIN runs_taskrun t ON t.id = f.parent_task_run_id "
        "WHERE f.parent_task_run_id IS NOT NULL AND t.id IS NULL",
        "is nested in task run {}, which is gone",
    ),
)
HISTORIES = (*_laws(FLOW_RUNS), *_laws(TASK_RUNS), *_ORPHANS)

# --- which state may follow which -----------------------------------------------------------------------------------

_ENDS = sql_of(TERMINAL)
_NEEDS_A_REASON = (
    f"(a.type IN {_ENDS} AND b.type NOT IN {_ENDS}) OR (a.type = 'CANCELLING' AND b.type <> 'CANCELLED') "
    f"OR (a.type IN {sql_of(HOLDING - {StateType.CANCELLING})} AND b.type = 'PENDING')"
)
_NEED_A_REASON_AFTER = {
    **dict.fromkeys(TERMINAL, ANY - TERMINAL),
    **dict.fromkeys(HOLDING, frozenset({StateType.PENDING})),
    StateType.CANCELLING: ANY - {StateType.CANCELLED},
}
# The rules that are asked for a forced state.
_WHEN_FORCED = frozenset(type(rule).__name__ for rule in (*MINIMAL_FLOW, *MINIMAL_TASK))
# The rules that may let a finished run start again.
_REOPENING = frozenset(
    type(rule).__name__
    for policy in POLICIES
    for rule in policy
    if rule.leaving <= TERMINAL and not rule.entering <= TERMINAL
)


def illegal_successions() -> Iterator[Violation]:
    """Yield transitions that need a reason, a rule that allows them or force, but whose trail shows none."""
    for tables in (FLOW_RUNS, TASK_RUNS):
        run_id, db = tables.run_column, dialect()
        rows = rows_of(
            f"SELECT b.{run_id}, a.type, b.type, b.seq, b.trail FROM {tables.states} a "
            f"JOIN {tables.states} b ON b.{run_id} = a.{run_id} AND b.seq = a.seq + 1 WHERE {_NEEDS_A_REASON}"
        )
        for subject, before, after, seq, trail in rows:
            if not has_a_reason(before, trail_from(trail)):
                message = f"went from {before} to {after} in state #{seq}, which no rule allows"
                yield Violation("I2", f"{tables.kind} {db.read_uuid(subject)}", message)


def needs_a_reason(before: str, after: str) -> bool:
    """Whether the second folded state may follow the first only by a rule that allows it, or by force."""
    return StateType(after) in _NEED_A_REASON_AFTER.get(StateType(before), ())


def has_a_reason(before: str, lines: Iterable[Judgement]) -> bool:
    lines = list(lines)
    if all(line.rule in _WHEN_FORCED for line in lines):
        return True
    return before in TERMINAL and any(line.rule in _REOPENING and line.verdict == "amend" for line in lines)
