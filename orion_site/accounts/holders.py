"""Runs that agents of other users hold: the key of an agent may not report about them.

The nearest lease counts: a nested run without a lease belongs to the run that called it. Runs that no agent holds, such
as those of programs and of Prefect's agents, may be reported by everyone who may report runs.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import connection
from rest_framework.request import Request

from orchestration.authors import user_in
from orchestration.sight import by_table, seeing
from orchestration.tables import dialect, fetch
from orion_site.accounts.objects import sight_of, table_of
from orion_site.accounts.permissions import Action, Actor, may_in_part

HELD_BY_OTHERS = "An agent of another user holds this run: your role reports only those of your own agents."
UNSERVED = (
    "Your role reaches only runs that agents of yours hold or have made, and those in the queues that they serve. "
    "Start an agent for its queue with this key, or let a deployer do it."
)
_FLOW_RUNS, _TASK_RUNS = "runs_flowrun", "runs_taskrun"
# Other tables whose rows belong to a flow run, a task run, or both.
_OF_RUNS = frozenset({"runs_artifact", "deployments_globalslot"})

# The ids of the runs are inserted between the two parts of a statement, see `orchestration.tables.fetch`.
_ABOVE = """
WITH RECURSIVE above(id, caller) AS (
    SELECT f.id, f.parent_task_run_id FROM runs_flowrun f WHERE f.id IN """
_HELD = """
    UNION
    SELECT r.id, r.parent_task_run_id FROM above
    JOIN runs_taskrun t ON t.id = above.caller
    JOIN runs_flowrun r ON r.id = t.flow_run_id
    WHERE NOT EXISTS (SELECT 1 FROM deployments_lease held WHERE held.flow_run_id = above.id)
)
SELECT DISTINCT w.account FROM above
JOIN deployments_lease l ON l.flow_run_id = above.id
JOIN deployments_worker w ON w.id = l.worker_id"""


def refuse_held_by_others(actor: Actor, reported: Collection[tuple[str, UUID | None]]) -> None:
    """Refuse reports about runs that other users' agents hold, unless the actor may report about any run.

    Raises PermissionDenied.
    """
    runs = _runs_of(reported) - _of_wider_rights(actor, reported, Action.REPORT_ANY_RUN)
    # Callers and agents count, whether or not the actor sees them.
    with seeing(None):
        holders = {account for (account,) in fetch(_ABOVE, [*runs], _HELD)}
    if holders - {actor.user_id}:
        raise PermissionDenied(HELD_BY_OTHERS)


def _runs_of(named: Iterable[tuple[str, UUID | None]]) -> set[UUID]:
    """Return the named flow runs, and the flow runs of the named task runs and of other rows."""
    ids = by_table((table, one) for table, one in named if one is not None)
    for table in _OF_RUNS & ids.keys():
        with seeing(None):
            rows = fetch(f"SELECT flow_run_id, task_run_id FROM {table} WHERE id IN ", [*ids[table]])  # noqa: S608 (a constant)
        for runs in rows:
            for kind, run in zip((_FLOW_RUNS, _TASK_RUNS), runs, strict=True):
                if run is not None:
                    ids[kind].add(dialect().read_uuid(run))
    of_tasks = fetch("SELECT DISTINCT flow_run_id FROM runs_taskrun WHERE id IN ", [*ids[_TASK_RUNS]])
    return ids[_FLOW_RUNS] | {dialect().read_uuid(found) for (found,) in of_tasks if found is not None}


def _of_wider_rights(actor: Actor, named: Iterable[tuple[str, UUID | None]], *actions: Action) -> set[UUID]:
    """Return those of the runs on which the actor may do one of these actions through rights on named objects."""
    if not any(may_in_part(actor, action) for action in actions):
        return set()
    with seeing(sight_of(actor, *actions)):
        seen = fetch(f"SELECT id FROM {_FLOW_RUNS} WHERE id IN ", [*_runs_of(named)])  # noqa: S608 (a constant)
    return {dialect().read_uuid(one) for (one,) in seen}


_LINE = """
WITH RECURSIVE line(root, id, caller, queue) AS (
    SELECT f.id, f.id, f.parent_task_run_id, f.work_queue_id FROM runs_flowrun f WHERE f.id IN """
_SERVED = """
    UNION ALL
    SELECT line.root, r.id, r.parent_task_run_id, r.work_queue_id FROM line
    JOIN runs_taskrun t ON t.id = line.caller
    JOIN runs_flowrun r ON r.id = t.flow_run_id
)
SELECT line.root, f.created_by, q.id, q.work_pool_id, q.polled_by, w.account FROM line
JOIN runs_flowrun f ON f.id = line.id
LEFT JOIN deployments_workqueue q ON q.id = line.queue
LEFT JOIN deployments_lease l ON l.flow_run_id = line.id
LEFT JOIN deployments_worker w ON w.id = l.worker_id"""


def refuse_unserved(actor: Actor, named: Collection[tuple[str, UUID | None]]) -> None:
    """Refuse runs that this user's agents neither hold nor serve, and that the user did not create.

    Nested runs belong to the run that called them; a task without a flow run may be executed by everyone. Raises
    PermissionDenied.
    """
    runs = _runs_of(named) - _of_wider_rights(actor, named, Action.REPORT_ANY_RUN, Action.CHANGE_RUNS)
    if not runs:
        return
    with seeing(None):
        _refuse_unserved(actor, runs)


def _refuse_unserved(actor: Actor, runs: set[UUID]) -> None:
    there, served = set[Any](), set[Any]()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT queue_ids, serves_pool, work_pool_id FROM deployments_worker WHERE account = %s", [actor.user_id]
        )
        agents = cursor.fetchall()
    queues = {one for queue_ids, _, _ in agents for one in _json(queue_ids)}
    pools = {pool for _, serves_pool, pool in agents if serves_pool}
    for root, made_by, queue, pool, polled_by, holder in fetch(_LINE, [*runs], _SERVED):
        is_own = holder == actor.user_id or user_in(_json(made_by)) == actor.user_id
        is_asked = queue is not None and (
            pool in pools or str(dialect().read_uuid(queue)) in queues or actor.user_id in _json(polled_by)
        )
        there.add(root)
        if is_own or is_asked:
            served.add(root)
    # Runs that do not exist are reported as such elsewhere.
    if served < there:
        raise PermissionDenied(UNSERVED)


def _json(column: Any) -> Any:
    return json.loads(column) if isinstance(column, str) else column


def runs_in_address(request: Request) -> list[tuple[str, UUID | None]]:
    """Return the run in the address of a request, or the row there that belongs to runs; empty if it has neither."""
    table, match = table_of(request), request.resolver_match
    if match is None or table not in {_FLOW_RUNS, _TASK_RUNS, *_OF_RUNS}:
        return []
    try:
        return [(table, UUID(str(match.kwargs["id"])))]
    except (KeyError, ValueError):
        return []
