"""Searches for all runs, or all of one flow or deployment, which the roll-ups can answer."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Q

from deployments.models import Deployment
from orchestration.core.states import StateType
from orchestration.sight import sees_in_part
from runs.lists.filters.conditions import matched
from runs.lists.filters.resources import DeploymentFilter, FlowFilter, FlowRunFilter, RunFilter
from runs.lists.filters.searches import Search
from runs.roll_ups.selectors import ALL_FLOW_RUNS, ALL_TASK_RUNS, Subject


def subject_of_flow_runs(search: Search) -> Subject | None:
    """Return the subject that has exactly these flow runs; None if there is none, or the user does not see all runs."""
    if sees_in_part():
        return None
    if search.task_runs is not None or search.pools() is not None or search.queues() is not None:
        return None
    own = matched(search.flow_runs)
    match (search.flows, search.deployments):
        case (None, None):
            return _deployment_of_runs(search.flow_runs, own) if own else ALL_FLOW_RUNS
        case (FlowFilter() as flows, None) if not own:
            flow_id = _only(flows.id.any_ if flows.id else None, matched(flows), "id")
            return Subject("flow", flow_id) if flow_id else None
        case (None, DeploymentFilter() as deployments) if not own:
            return _deployment(deployments)
    return None


def _deployment_of_runs(runs: FlowRunFilter | None, own: Q) -> Subject | None:
    wanted = runs.deployment_id if runs else None
    deployment_id = _only(wanted.any_ if wanted else None, own, "deployment_id")
    return Subject("deployment", deployment_id) if deployment_id else None


def _deployment(wanted: DeploymentFilter) -> Subject | None:
    deployment_id = _only(wanted.id.any_ if wanted.id else None, matched(wanted), "id")
    # Runs remain when their deployment is deleted, but a search for the deployment does not find them then.
    if deployment_id is None or not Deployment.objects.filter(pk=deployment_id).exists():
        return None
    return Subject("deployment", deployment_id)


def _only(ids: Sequence[UUID] | None, condition: Q, column: str) -> UUID | None:
    """Return the id if the condition is for one id and nothing else."""
    return ids[0] if ids and len(ids) == 1 and condition == Q(**{f"{column}__in": ids}) else None


def subject_of_task_runs(search: Search) -> Subject | None:
    """Return the subject of all task runs if the search matches all of them."""
    if sees_in_part():
        return None
    asked = (search.flows, search.flow_runs, search.deployments)
    return None if any(part is not None for part in asked) or matched(search.task_runs) else ALL_TASK_RUNS


def asks_only_when_task_runs_started(search: Search) -> bool:
    """Whether the search matches all task runs that started in some time, and the user sees all of them."""
    asked, others = search.task_runs, (search.flows, search.flow_runs, search.deployments)
    if sees_in_part() or any(part is not None for part in (*others, search.pools(), search.queues())):
        return False
    if asked is None or asked.start_time is None or asked.start_time.is_null_ is not None:
        return False
    return {name for name in asked.model_fields_set - {"operator"} if getattr(asked, name) is not None} == {
        "start_time"
    }


# Columns that are indexed where they are not null.
_OFTEN_EMPTY = ("deployment_id", "work_queue_name", "parent_task_run")


def only_empty_column(search: Search) -> str | None:
    """Return the column if the search matches exactly the flow runs in which it is null, and the user sees all runs."""
    others = (search.flows, search.task_runs, search.deployments, search.pools(), search.queues())
    if sees_in_part() or any(part is not None for part in others):
        return None
    condition = matched(search.flow_runs)
    return next((column for column in _OFTEN_EMPTY if condition == Q(**{f"{column}__isnull": True})), None)


def only_state_types(asked: RunFilter | None) -> list[StateType] | None:
    """Return the types of states if the filter names nothing else."""
    if asked is None or asked.state is None or asked.state.type is None or asked.state.name is not None:
        return None
    names = {name for name in asked.model_fields_set - {"operator"} if getattr(asked, name) is not None}
    return asked.state.type.any_ if names == {"state"} else None
