"""Which runs the agents of others hold: about these an agent's key reports nothing.

The nearest lease counts: a nested run that no agent holds itself is held with the run that called it. What nobody
holds, as runs of programs and of agents of another make, is everybody's to report who may report runs at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import PermissionDenied
from rest_framework.request import Request

from orchestration.sight import by_table
from orchestration.tables import dialect, fetch
from orion_site.accounts.objects import table_of
from orion_site.accounts.permissions import Actor

HELD_BY_OTHERS = "An agent of another user holds this run: your role reports only those of your own agents."
_FLOW_RUNS, _TASK_RUNS = "runs_flowrun", "runs_taskrun"

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


def refuse_held_by_others(actor: Actor, reported: Iterable[tuple[str, UUID | None]]) -> None:
    """Refuse what is about runs that others' agents hold. Raises PermissionDenied."""
    ids = by_table((table, one) for table, one in reported if one is not None)
    of_tasks = fetch("SELECT DISTINCT flow_run_id FROM runs_taskrun WHERE id IN ", [*ids[_TASK_RUNS]])
    runs = ids[_FLOW_RUNS] | {dialect().read_uuid(found) for (found,) in of_tasks if found is not None}
    if {account for (account,) in fetch(_ABOVE, [*runs], _HELD)} - {actor.user_id}:
        raise PermissionDenied(HELD_BY_OTHERS)


def run_in_address(request: Request) -> list[tuple[str, UUID | None]]:
    """The run that the address of a request names, if it names one."""
    table, match = table_of(request), request.resolver_match
    if match is None or table not in {_FLOW_RUNS, _TASK_RUNS}:
        return []
    try:
        return [(table, UUID(str(match.kwargs["id"])))]
    except (KeyError, ValueError):
        return []
