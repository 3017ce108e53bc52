"""Pages to retry a finished run from some of its tasks: choose the tasks, preview the result, start it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from orchestration.database_clock import current_time
from orchestration.errors import DomainError, FlowRunNotFound
from orion_site.accounts.permissions import Action, actor_of, requires
from orionflow.contract.ids import uuid7
from runs.models import FlowRun
from runs.naming import listed
from runs.pages.selectors.keyset import Count
from runs.pages.selectors.retries import Choice, choices_of
from runs.retries.core import FIRST, Call, Cause
from runs.retries.services import FAILED, Preview, RetryOptions, preview_retry, retry_from_tasks

CALLS_PER_PAGE = 100
MOST_WANTED = 1_000
CAUSES = {
    Cause.CHOSEN: "chosen",
    Cause.DEPENDS: "takes input from what runs again",
    Cause.INSIDE: "in or around a subflow run that runs again",
    Cause.UNFINISHED: "did not complete",
    Cause.UNSTORED: "its result was not stored",
    Cause.CHANGED: "it changed its arguments, which its result does not repeat",
    Cause.EXPIRED: "its result expired",
    Cause.UNKNOWN: "its inputs cannot be compared",
}
# Labels that follow a number.
COUNTED = {
    **CAUSES,
    Cause.DEPENDS: "with input from what runs again",
    Cause.UNFINISHED: "that did not complete",
    Cause.UNSTORED: "whose result was not stored",
    Cause.CHANGED: "that changed arguments, which no result repeats",
    Cause.EXPIRED: "whose result expired",
    Cause.UNKNOWN: "whose inputs cannot be compared",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of calls of one kind; for those that run again, with the reason."""

    show: str
    rows: Sequence[tuple[Call, str]]
    next: str
    is_first: bool


@requires(Action.CHANGE_RUNS)
def retry_from(request: HttpRequest, run_id: UUID) -> HttpResponse:
    run = FlowRun.objects.select_related("flow", "parent_task_run").filter(pk=run_id).first()
    if run is None:
        raise Http404
    wanted = list(dict.fromkeys(filter(None, request.GET.getlist("from"))))[:MOST_WANTED]
    if run.deployment_id is None and run.parent_task_run is not None and run.parent_task_run.flow_run_id is not None:
        # It runs in the process of its parent run, so that one must be retried.
        return redirect(address_of(run.parent_task_run.flow_run_id, wanted or [str(run.parent_task_run_id)]))
    try:
        if request.method == "POST":
            return _begin(request, run, wanted)
        if not wanted:
            return _choose(request, run)
        options = RetryOptions(wanted=wanted)
        preview = preview_retry(run_id=run_id, options=options, now=current_time())
    except DomainError as error:
        messages.warning(request, str(error))
        return redirect("runs:run", run_id)
    return TemplateResponse(request, "runs/retry.html", _context(request, preview, wanted))


def address_of(run_id: UUID, wanted: Sequence[str]) -> str:
    """Return the page of a retry from these tasks."""
    query = urlencode([("from", one) for one in wanted])
    return f"{reverse('runs:retry-from', args=[run_id])}{'?' if query else ''}{query}"


def _choose(request: HttpRequest, run: FlowRun) -> HttpResponse:
    choices: list[Choice] = choices_of(run.pk)
    context = {
        "section": "runs",
        "run": run,
        "choices": choices,
        "failed": Count(sum(choice.unfinished.number for choice in choices)),
        "failed_name": FAILED,
    }
    return TemplateResponse(request, "runs/retry_choices.html", context)


def _context(request: HttpRequest, preview: Preview, wanted: Sequence[str]) -> dict[str, object]:
    plan = preview.plan
    return {
        "section": "runs",
        "run": preview.run,
        "preview": preview,
        "names": _names(preview, wanted),
        "wanted": wanted,
        "reused": Count(len(plan.reused)),
        "again": Count(len(plan.again)),
        "causes": [(COUNTED[cause], Count(plan.causes[cause])) for cause in FIRST if plan.causes[cause]],
        "shown": _shown(request, preview, wanted),
        "here": address_of(preview.run.pk, wanted),
        "new_id": uuid7(),
    }


def _names(preview: Preview, wanted: Sequence[str]) -> str:
    """Return the chosen tasks as text, with names instead of ids of task runs."""
    by_id = {str(call.id): call.name for call in preview.chosen}
    names = ["the failed tasks" if one == FAILED else by_id.get(one, one) for one in wanted]
    return listed(names, 5)


def _shown(request: HttpRequest, preview: Preview, wanted: Sequence[str]) -> Shown:
    show = "reused" if request.GET.get("show") == "reused" else "again"
    text = request.GET.get("after", "")
    after = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
    if show == "reused":
        every = [(call, "") for call in preview.plan.reused]
    else:
        again = sorted(preview.plan.again, key=lambda one: FIRST[one[1]])
        every = [(call, CAUSES[cause]) for call, cause in again]
    rows, end = every[after : after + CALLS_PER_PAGE], after + CALLS_PER_PAGE
    following = f"{address_of(preview.run.pk, wanted)}&show={show}&after={end}" if end < len(every) else ""
    return Shown(show, rows, following, after == 0)


def _begin(request: HttpRequest, run: FlowRun, wanted: Sequence[str]) -> HttpResponse:
    options = RetryOptions(
        wanted=wanted or [FAILED],
        new_run=request.POST.get("as") == "new",
        id=_id(request.POST.get("id", "")),
    )
    try:
        came = retry_from_tasks(run_id=run.pk, options=options, now=current_time(), author=actor_of(request).name)
    except FlowRunNotFound as error:
        raise Http404 from error
    if came.retry is None:
        messages.warning(request, f"The run stays as it is: {came.outcome.verdict.reason}.")
        return redirect("runs:run", run.pk)
    if options.new_run:
        messages.success(request, f"This run continues {run.name}. It waits for an agent.")
    else:
        messages.success(request, "The run waits for an agent to begin again.")
    return redirect("runs:run", came.flow_run_id)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
