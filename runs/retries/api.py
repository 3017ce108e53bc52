"""Retries from tasks: preview, start and list them; serve recorded results to the engine, and store its report."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from rest_framework.response import Response

from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.states import state_out, stored_state_out, verdict_out
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orion_site.accounts.permissions import Action
from orionflow.contract import retries as contract
from orionflow.contract.wire import Shaped
from runs.models import FlowRun, RunRetry, TaskRun
from runs.retries.core import FIRST
from runs.retries.selectors import recorded_for, retries_of
from runs.retries.services import Preview, RetryOptions, preview_retry, report_outcome, retry_from_tasks

LISTED = 100
RunRetryOut = Annotated[dict[str, Any], Shaped(contract.RunRetry)]
RetryPreviewOut = Annotated[dict[str, Any], Shaped(contract.RetryPreview)]
RetryResultOut = Annotated[dict[str, Any], Shaped(contract.RetryResult)]
RecordedCallsOut = Annotated[dict[str, Any], Shaped(contract.RecordedCalls)]


class PreviewRetry(Operation):
    """Preview a retry from these tasks: what is reused, what runs again, and how long that took."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: RetryPreviewOut}

    def perform(self, id: UUID, body: contract.RetryRequest) -> RetryPreviewOut:
        return preview_out(preview_retry(run_id=id, options=_options(body), now=current_time()), body.from_tasks)


class RetryFlowRun(Operation):
    """Run a finished flow run again from these tasks, as another attempt or as a new run linked to it."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {201: RetryResultOut, 200: RetryResultOut}

    def perform(self, id: UUID, body: contract.RetryCreate) -> Response:
        options = _options(body, body.id)
        came = retry_from_tasks(run_id=id, options=options, now=current_time(), author=self.request.user.name)
        status, details = verdict_out(came.outcome.verdict)
        state = state_out(came.outcome.state) if came.outcome.state else None
        retry = None if came.retry is None else run_retry_out(came.retry)
        content = {"status": status, "details": details, "state": state, "retry": retry}
        return Response(content, status=201 if came.outcome.written else 200)


class FilterRetries(Operation):
    """List the retries of a flow run from tasks, newest first: its own, and those by which other runs continue it."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: list[RunRetryOut]}

    def perform(self, id: UUID) -> list[RunRetryOut]:
        if not FlowRun.objects.filter(pk=id).exists():
            raise FlowRunNotFound(id=id)
        return [run_retry_out(one) for one in retries_of(id)]


class ReadRecorded(Operation):
    """Read which recorded results an attempt of a retried flow run reuses."""

    method = "POST"
    # The process that executes the run calls this; it reads values from the results that these states refer to.
    action_required = Action.REPORT_RUNS
    answers = {200: RecordedCallsOut}
    body_optional = True

    def perform(self, id: UUID, body: contract.RecordedRequest) -> RecordedCallsOut:
        found = recorded_for(run_id=id, source_id=body.source_id, after=body.after)
        if found is None:
            raise FlowRunNotFound(id=body.source_id)
        return as_answer(contract.RecordedCalls, found, calls=[_call_out(run, state) for run, state in found.calls])


class ReportRetry(Operation):
    """Report what an attempt of a retried flow run reused, and what it ran."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    answers = {204: None}

    def perform(self, id: UUID, body: contract.RetryOutcome) -> None:
        report_outcome(run_id=id, now=current_time(), **body.model_dump())


def preview_out(preview: Preview, wanted: list[str]) -> RetryPreviewOut:
    calls = [
        as_answer(contract.CallAgain, call, task_run_id=call.id, cause=cause.value, seconds=call.lasted.total_seconds())
        for call, cause in sorted(preview.plan.again, key=lambda one: FIRST[one[1]])[:LISTED]
    ]
    return as_answer(
        contract.RetryPreview,
        preview,
        **preview.numbers(),
        flow_run_id=preview.run.pk,
        flow_run_name=preview.run.name,
        from_tasks=wanted,
        chosen=len(preview.chosen),
        calls=calls,
    )


def run_retry_out(retry: RunRetry) -> RunRetryOut:
    return as_answer(contract.RunRetry, retry, new_run=retry.is_new_run, from_tasks=retry.chosen)


def _options(body: contract.RetryRequest, id: UUID | None = None) -> RetryOptions:
    return RetryOptions(wanted=body.from_tasks, new_run=body.new_run, process=body.process, id=id)


def _call_out(run: TaskRun, state: Any) -> dict[str, Any]:
    shown = stored_state_out(state, flow_run_id=None, task_run_id=run.pk) if state else None
    return as_answer(contract.RecordedCall, run, state=shown)
