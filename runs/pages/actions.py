"""Actions on a flow run, from its page or a list: each is a POST that calls one service and shows its outcome."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from orchestration.core.verdicts import Accept, Reject
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orchestration.proposals import Outcome
from orion_site.accounts.permissions import Action, actor_of, requires
from orion_site.forms.submitting import page_to_return_to
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
    """Redirect with a message about the outcome of a command: to the list that the form names, or to the run."""
    match outcome.verdict:
        case Accept():
            level, words = messages.SUCCESS, done
        case Reject() if outcome.written and outcome.state:
            level, words = messages.SUCCESS, f"The run is {outcome.state.name.lower()} now: {outcome.verdict.reason}"
        case _:
            level, words = messages.WARNING, f"The run stays as it is: {outcome.verdict.reason}"
    page, run = page_to_return_to(request), reverse("runs:run", args=[run_id])
    if page and not page.startswith(run):
        # A list has many runs: the link says which one this was.
        words = format_html('{} <a href="{}">Show it</a>', words, run)
    messages.add_message(request, level, words)
    return redirect(page or run)
