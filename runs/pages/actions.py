"""Actions of a person on the page of a flow run: each is a POST that proposes, shows the outcome and goes back."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from orchestration.core.states import State, awaiting_retry, cancelling
from orchestration.core.verdicts import Accept, Reject
from orchestration.errors import FlowRunNotFound
from orchestration.services import propose_flow_run_state
from orchestration.unit import Outcome
from orion_site.accounts.permissions import Action, actor_of, requires
from runs.flow_runs.services import delete_flow_run


@requires(Action.CHANGE_RUNS)
@require_POST
def cancel(request: HttpRequest, run_id: UUID) -> HttpResponse:
    return _propose(request, run_id, cancelling(), done="The run is being cancelled.")


@requires(Action.CHANGE_RUNS)
@require_POST
def retry(request: HttpRequest, run_id: UUID) -> HttpResponse:
    return _propose(request, run_id, awaiting_retry(timezone.now()), done="The run will be tried again.")


@requires(Action.CHANGE_RUNS)
@require_POST
def delete(request: HttpRequest, run_id: UUID) -> HttpResponse:
    try:
        delete_flow_run(run_id=run_id)
    except FlowRunNotFound as error:
        raise Http404 from error
    messages.success(request, "The run was deleted.")
    return redirect("runs:runs")


def _propose(request: HttpRequest, run_id: UUID, proposed: State, *, done: str) -> HttpResponse:
    author = actor_of(request).name
    try:
        outcome = propose_flow_run_state(run_id=run_id, proposed=proposed, now=timezone.now(), author=author)
    except FlowRunNotFound as error:
        raise Http404 from error
    _tell(request, outcome, done)
    return redirect("runs:run", run_id)


def _tell(request: HttpRequest, outcome: Outcome, done: str) -> None:
    match outcome.verdict:
        case Accept():
            messages.success(request, done)
        case Reject() if outcome.written and outcome.state:
            messages.success(request, f"The run is {outcome.state.name.lower()} now: {outcome.verdict.reason}")
        case _:
            messages.warning(request, f"The run stays as it is: {outcome.verdict.reason}")
