"""Task runs: create (once per call of a task), read, rename, delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from rest_framework.response import Response

from orchestration.api.errors import Missing, Refused, existing
from orchestration.api.operations import Operation
from orchestration.api.states import proposed_state, written_state_out
from orchestration.core.states import State, StateType
from orchestration.database_clock import current_time
from orchestration.large import completed
from orion_site.accounts.permissions import Action
from orionflow.contract.runs import TaskRunCreate, TaskRunUpdate
from runs.models import TaskRun
from runs.states.selectors import current_task_run_states, listed_task_run_states
from runs.task_runs.schemas import (
    TaskRunOut,
    new_task_run,
    task_run_in_state,
    task_run_out,
)
from runs.task_runs.services import create_task_run, delete_task_run, update_task_run

PENDING = State(type=StateType.PENDING)
LONGEST_KEY = 1024


class CreateTaskRun(Operation):
    """Create a task run. One call of a task in a flow run is stored once: a repetition returns the stored one."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    masks_secrets = True
    reports = True
    answers = {201: TaskRunOut, 200: TaskRunOut}
    missing = 409

    def reported_runs(self, body: TaskRunCreate) -> Iterable[tuple[str, UUID | None]]:
        # A run may submit a task to the processes that serve it; such a call belongs to no flow run.
        if body.flow_run_id is not None or self.request.user.run_id is None:
            yield "runs_flowrun", body.flow_run_id

    def named_rows(self, body: TaskRunCreate) -> Iterable[tuple[str, UUID | None]]:
        yield "runs_taskrun", body.id

    def perform(self, body: TaskRunCreate) -> Response:
        now = current_time()
        state = proposed_state(body.state, keep_identity=False) if body.state else PENDING
        new = new_task_run(body)
        if body.flow_run_id is None and (starter := self.request.user.run_id) is not None:
            # The run finds the call by this prefix when it waits for it.
            new = replace(new, dynamic_key=f"{starter}-{body.dynamic_key}")
            if len(new.dynamic_key) > LONGEST_KEY:
                raise Refused("The dynamic key of a task that a run offers is too long.", 422)
        made = create_task_run(new=new, run_id=body.id, state=state, now=now)
        if made.first is None:
            return Response(task_runs_out([made.run], now)[0], status=201 if made.is_new else 200)
        # The state was just written, so it need not be read again.
        return Response(task_run_in_state(made.run, written_state_out(made.first), now), status=201)


class ReadTaskRun(Operation):
    """Read a task run with its current state."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: TaskRunOut}

    def perform(self, id: UUID) -> TaskRunOut:
        run = existing(TaskRun.objects.filter(pk=id).first(), "Task run")
        return task_runs_out([run], current_time())[0]


class UpdateTaskRun(Operation):
    """Rename a task run."""

    method = "PATCH"
    action_required = Action.REPORT_RUNS
    masks_secrets = True
    answers = {204: None}

    def perform(self, id: UUID, body: TaskRunUpdate) -> None:
        if body.name:
            update_task_run(run_id=id, name=body.name, now=current_time())
        elif not TaskRun.objects.filter(pk=id).exists():
            raise Missing("Task run")


class DeleteTaskRun(Operation):
    """Delete a task run with its states."""

    method = "DELETE"
    action_required = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_task_run(run_id=id)


def listed_task_runs_out(runs: Sequence[TaskRun], now: datetime) -> list[TaskRunOut]:
    """Return a page of runs as lists show them, without large data: one query for all their states."""
    states = listed_task_run_states(runs)
    listed = completed(runs, "task_inputs")
    return [task_run_out(run, states.get(run.state_id), now) for run in listed]


def task_runs_out(runs: Sequence[TaskRun], now: datetime) -> list[TaskRunOut]:
    """Return a page of runs: one query for all their states."""
    states = current_task_run_states(runs)
    return [task_run_out(run, states.get(run.state_id), now) for run in runs]
