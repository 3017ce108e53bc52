"""I7: limits are not exceeded, and slots are held only by active runs. Lowering a limit stops no run, so slots that
were taken before a limit was last changed do not count against it."""

from __future__ import annotations

from deployments.upkeep.selectors.invariants.laws import Law, sql_of
from orionflow.contract.states import EXECUTING, HOLDING

_FULLER = "HAVING COUNT(*) > {0}.concurrency_limit AND MAX({1}) > {0}.updated"


def _run_slots(kind: str, table: str, runs: str) -> Law:
    return Law(
        "I7",
        kind,
        f"SELECT x.id, COUNT(*), x.concurrency_limit FROM {table} x {runs} AND r.state_type IN {sql_of(HOLDING)} "
        "WHERE x.concurrency_limit IS NOT NULL GROUP BY x.id, x.concurrency_limit, x.updated "
        + _FULLER.format("x", "r.state_timestamp"),
        "has {} runs in its {} slots",
    )


LIMITS = (
    Law(
        "I7",
        "concurrency-limit",
        "SELECT x.id, COUNT(*), x.concurrency_limit FROM deployments_concurrencylimit x "
        "JOIN deployments_slot s ON s.limit_id = x.id GROUP BY x.id, x.concurrency_limit, x.updated "
        + _FULLER.format("x", "s.taken_at"),
        "has {} of its {} slots taken",
    ),
    Law(
        "I7",
        "task-run",
        "SELECT t.id, t.state_type FROM deployments_slot s JOIN runs_taskrun t ON t.id = s.task_run_id "
        f"WHERE t.state_type IS NULL OR t.state_type NOT IN {sql_of(EXECUTING)}",
        "is {} and still holds a slot",
    ),
    _run_slots("work-queue", "deployments_workqueue", "JOIN runs_flowrun r ON r.work_queue_id = x.id"),
    _run_slots("deployment", "deployments_deployment", "JOIN runs_flowrun r ON r.deployment_id = x.id"),
    _run_slots(
        "work-pool",
        "deployments_workpool",
        "JOIN deployments_workqueue q ON q.work_pool_id = x.id JOIN runs_flowrun r ON r.work_queue_id = q.id",
    ),
)
