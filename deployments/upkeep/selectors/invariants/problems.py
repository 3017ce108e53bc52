"""I14: each occurrence of a problem belongs to the failed state of its run with which it was inserted."""

from __future__ import annotations

from deployments.upkeep.selectors.invariants.laws import Law, sql_of
from orionflow.contract.states import BAD

PROBLEMS = (
    Law(
        "I14",
        "flow-run",
        "SELECT o.run_id, o.problem_id FROM runs_occurrence o LEFT JOIN runs_flowrunstate s ON s.id = o.id "
        f"WHERE s.id IS NULL OR s.flow_run_id <> o.run_id OR s.type NOT IN {sql_of(BAD)}",
        "failed by problem {}, and has no bad state that says so",
    ),
)
