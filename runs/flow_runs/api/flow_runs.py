"""Flow runs: create, read, rename, delete. Only `orchestration.api.set_state` changes their states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from rest_framework.response import Response

from orchestration.api.errors import Refused, existing
from orchestration.api.operations import Operation
from orchestration.api.states import proposed_state
from orchestration.authors import made_by
from orchestration.core.states import State, StateType
from orchestration.database_clock import current_time
from orchestration.large import completed
from orchestration.new_runs import NewFlowRun
from orchestration.sight import seeing
from orion_site.accounts.permissions import WHERE_AND_HOW, Action, may_here, refuse_fields
from orionflow.contract.masking import is_of_deployment, known
from orionflow.contract.runs import FlowRunCreate, FlowRunUpdate
from runs.errors import JobVariablesSettled, JobVariablesUnused
from runs.flow_runs.schemas import FlowRunOut, flow_run_out
from runs.flow_runs.services import create_flow_run, delete_flow_run, update_flow_run
from runs.models import FlowRun
from runs.naming import two_word_name
from runs.schemas.policies import policy_in
from runs.states.selectors import current_flow_run_states, listed_flow_run_states, pools_of

PENDING = State(type=StateType.PENDING)


class CreateFlowRun(Operation):
    """Create a flow run. With a known idempotency key the stored run is returned, unchanged."""

    method = "POST"
    action_required = Action.CREATE_RUNS
    masks_secrets = True
    reports = True
    answers = {201: FlowRunOut, 200: FlowRunOut}
    missing = 409

    def masked(self, body: bytes) -> bytes:
        return known.masked_json(body, has_inputs=is_of_deployment)

    def reported_runs(self, body: FlowRunCreate) -> Iterable[tuple[str, UUID | None]]:
        if body.deployment_id is not None:
            yield "deployments_deployment", body.deployment_id
        if body.deployment_id is None or body.parent_task_run_id is not None:
            yield "runs_taskrun", body.parent_task_run_id

    def named_rows(self, body: FlowRunCreate) -> Iterable[tuple[str, UUID | None]]:
        yield "runs_flowrun", body.id
        if body.idempotency_key is not None:
            # The answer would be the run that has this key.
            with seeing(None):
                stored = FlowRun.objects.filter(flow_id=body.flow_id, idempotency_key=body.idempotency_key)
                yield from (("runs_flowrun", run_id) for run_id in stored.values_list("pk", flat=True))

    def perform(self, body: FlowRunCreate) -> Response:
        now = current_time()
        state = proposed_state(body.state, keep_identity=False) if body.state else PENDING
        run, created = create_flow_run(new=new_flow_run(body), state=state, now=now)
        return Response(flow_runs_out([run], now)[0], status=201 if created else 200)


class ReadFlowRun(Operation):
    """Read a flow run with its current state."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: FlowRunOut}

    def perform(self, id: UUID) -> FlowRunOut:
        run = existing(FlowRun.objects.filter(pk=id).first(), "Flow run")
        return flow_runs_out([run], current_time())[0]


class UpdateFlowRun(Operation):
    """Change the name, tags, parameters or policy."""

    method = "PATCH"
    action_required = Action.REPORT_RUNS
    allowed_too = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID, body: FlowRunUpdate) -> None:
        changes = {name: getattr(body, name) for name in body.model_fields_set}
        variables = {name: value for name, value in changes.items() if name == "job_variables"}
        refuse_fields(self.request, Action.CUSTOMISE_RUNS, variables, WHERE_AND_HOW)
        reported = {name: value for name, value in changes.items() if name not in OF_PEOPLE}
        refuse_fields(self.request, Action.REPORT_RUNS, reported, "this is reported by the process of the run")
        if "parameters" in changes and not may_here(self.request, Action.CHANGE_RUNS) and _waits(id):
            raise PermissionDenied("Your role does not allow to change the parameters of a run that waits.")
        if "empirical_policy" in changes:
            changes["empirical_policy"] = policy_in(body.empirical_policy)
        # Null and an empty name mean no change, except in columns that may be empty.
        kept = {name: value for name, value in changes.items() if value is not None or name in MAY_BE_EMPTIED}
        if kept.get("name") == "":
            del kept["name"]
        try:
            _update_of(kept)(run_id=id, changes=kept, now=current_time())
        except (JobVariablesSettled, JobVariablesUnused) as error:
            raise Refused(str(error), 400) from None


class DeleteFlowRun(Operation):
    """Delete a flow run with its task runs, states and logs."""

    method = "DELETE"
    action_required = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_flow_run(run_id=id)


def _waits(run_id: UUID) -> bool:
    return FlowRun.objects.filter(pk=run_id, state_type=StateType.SCHEDULED).exists()


def _update_of(changes: dict[str, Any]) -> Callable[..., None]:
    if "job_variables" not in changes:
        return update_flow_run
    # Imported here: a script that reports its own runs does not need the code for pools and their templates.
    from deployments.definitions.services.runs import update_job_variables

    return update_job_variables


# Fields that users change; the others are reported by the process of the run.
OF_PEOPLE = frozenset({"name", "tags", "parameters", "job_variables"})
MAY_BE_EMPTIED = frozenset({"flow_version", "infrastructure_pid"})


def new_flow_run(sent: FlowRunCreate) -> NewFlowRun:
    return NewFlowRun(
        id=sent.id,
        flow_id=sent.flow_id,
        name=sent.name or two_word_name(),
        tags=sent.tags,
        parameters=sent.parameters,
        context=sent.context,
        empirical_policy=policy_in(sent.empirical_policy),
        flow_version=sent.flow_version,
        parent_task_run_id=sent.parent_task_run_id,
        deployment_id=sent.deployment_id,
        infrastructure_document_id=sent.infrastructure_document_id,
        idempotency_key=sent.idempotency_key,
        created_by=made_by(),
        process=sent.process,
        environment_id=sent.environment_id,
    )


# Columns whose size only the writer limits.
FREE_COLUMNS = ("parameters", "context", "job_variables")


def listed_flow_runs_out(runs: Sequence[FlowRun], now: datetime) -> list[FlowRunOut]:
    """Return a page of runs as lists show them, without large values: two queries at most."""
    states, pools = listed_flow_run_states(runs), pools_of(runs)
    listed = completed(runs, *FREE_COLUMNS)
    return [flow_run_out(run, states.get(run.state_id), pools.get(run.work_queue_id), now) for run in listed]


def flow_runs_out(runs: Sequence[FlowRun], now: datetime) -> list[FlowRunOut]:
    """Return a page of runs: two queries at most."""
    states, pools = current_flow_run_states(runs), pools_of(runs)
    return [flow_run_out(run, states.get(run.state_id), pools.get(run.work_queue_id), now) for run in runs]
