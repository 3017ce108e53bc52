"""Flow runs as the API returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from orchestration.api.answers import as_answer
from orchestration.api.states import stored_state_out
from orionflow.contract import runs as contract
from orionflow.contract.wire import Shaped
from runs.models import FlowRun, FlowRunState
from runs.schemas.policies import flow_run_policy_out
from runs.schemas.runs import times_of

FlowRunOut = Annotated[dict[str, Any], Shaped(contract.FlowRun)]
PolledFlowRunOut = Annotated[dict[str, Any], Shaped(contract.PolledFlowRun)]


def flow_run_out(run: FlowRun, state: FlowRunState | None, pool: tuple[UUID, str] | None, now: datetime) -> FlowRunOut:
    return as_answer(
        contract.FlowRun,
        run,
        **times_of(run, now),
        state=stored_state_out(state, flow_run_id=run.id, task_run_id=run.parent_task_run_id) if state else None,
        empirical_policy=flow_run_policy_out(run.empirical_policy),
        work_pool_id=pool[0] if pool else None,
        work_pool_name=pool[1] if pool else None,
    )
