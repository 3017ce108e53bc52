"""The states of runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.states import stored_state_out
from orchestration.large import completed, without_large
from orion_site.accounts.permissions import Action
from orionflow.contract.runs import StateOut, StatesOfFlowRun, StatesOfTaskRun
from runs.models import FlowRunState, TaskRunState
from runs.states.selectors import listed_states_of_task_run, task_run_state


class StateQuestion(Operation):
    method = "GET"
    action_required = Action.READ_RUNS


class ReadFlowRunState(StateQuestion):
    """Read one state of a flow run."""

    answers = {200: StateOut}

    def perform(self, id: UUID) -> StateOut:
        return _flow_run_state_out(_found(FlowRunState.objects.select_related("flow_run").filter(pk=id).first()))


class ReadFlowRunStates(StateQuestion):
    """List the states of a flow run, oldest first."""

    answers = {200: list[StateOut]}

    def perform(self, query: StatesOfFlowRun) -> list[StateOut]:
        states = FlowRunState.objects.select_related("flow_run").filter(flow_run=query.flow_run_id).order_by("seq")
        return [_flow_run_state_out(state) for state in completed(list(without_large(states, "data")), "data")]


class ReadTaskRunState(StateQuestion):
    """Read one state of a task run."""

    answers = {200: StateOut}

    def perform(self, id: UUID) -> StateOut:
        return _task_run_state_out(_found(task_run_state(id)))


class ReadTaskRunStates(StateQuestion):
    """List the states of a task run, oldest first."""

    answers = {200: list[StateOut]}

    def perform(self, query: StatesOfTaskRun) -> list[StateOut]:
        return [_task_run_state_out(state) for state in listed_states_of_task_run(query.task_run_id)]


def _found(state: Any) -> Any:
    return existing(state, "State")


def _flow_run_state_out(state: FlowRunState) -> StateOut:
    return stored_state_out(state, flow_run_id=state.flow_run_id, task_run_id=state.flow_run.parent_task_run_id)


def _task_run_state_out(state: TaskRunState) -> StateOut:
    return stored_state_out(state, flow_run_id=state.task_run.flow_run_id, task_run_id=state.task_run_id)
