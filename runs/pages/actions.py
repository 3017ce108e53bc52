"""Actions of a user on the page of a flow run: each is a POST that calls one service and shows its outcome."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from orchestration.core.verdicts import Accept, Reject
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orchestration.unit import Outcome
from orion_site.accounts.permissions import Action, actor_of, requires
from runs.flow_runs.commands import cancel_flow_run, retry_flow_run
from runs.flow_runs.services import delete_flow_run


@requires(Action.CHANGE_RUNS)
@require_POST
def cancel(request: HttpRequest, run_id: UUID) -> HttpResponse:
    return _command(request, run_id, cancel_flow_run, done="The run is being cancelled.")


@requires(Action.CHANGE_RUNS)
@require_POST
def retry(request: HttpRequest, run_id: UUID) -> HttpResponse:
    return _command(request, run_id, retry_flow_run, done="The run will be tried again.")


@requires(Action.CHANGE_RUNS)
@require_POST
def delete(request: HttpRequest, run_id: UUID) -> HttpResponse:
    try:
        delete_flow_run(run_id=run_id)
    except FlowRunNotFound as error:
        raise Http404 from error
    messages.success(request, "The run was deleted.")
    return redirect("runs:runs")


def _command(request: HttpRequest, run_id: UUID, command: Callable[..., Outcome], *, done: str) -> HttpResponse:
    try:
        outcome = command(run_id=run_id, now=current_time(), author=actor_of(request).name)
    except FlowRunNotFound as error:
        raise Http404 from error
    return back_to_run(request, run_id, outcome, done)


def back_to_run(request: HttpRequest, run_id: UUID, outcome: Outcome, done: str) -> HttpResponse:
    """Redirect to the page of the run, with a message about the outcome of a command."""
    match outcome.verdict:
        case Accept():
            messages.success(request, done)
        case Reject() if outcome.written and outcome.state:
            messages.success(request, f"The run is {outcome.state.name.lower()} now: {outcome.verdict.reason}")
        case _:
            messages.warning(request, f"The run stays as it is: {outcome.verdict.reason}")
    return redirect("runs:run", run_id)
