"""Actions on all runs that a filter finds: a page says which, and which will be left out; then a few runs at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from orchestration.errors import FlowRunNotFound
from orion_site.accounts.permissions import Action, actor_of, requires
from runs.flow_runs.commands import cancel_flow_run, refusals_to_cancel, refusals_to_retry, retry_flow_run
from runs.flow_runs.services import delete_flow_run
from runs.models import FlowRun
from runs.pages.filtering import AskedFilter, read_filter
from runs.pages.selectors.runs import runs_page

# The page looks at so many runs, and one step changes so many: each is a transaction of its own.
SCOPE, STEP = 1_000, 50
DONE = {"retry": "will be tried again", "cancel": "are being cancelled", "delete": "were deleted"}
WORDS = {"retry": "Retry", "cancel": "Cancel", "delete": "Delete"}


@dataclass(frozen=True, slots=True)
class Scope:
    """The runs that an action concerns, and how many of the others it would be refused for, by the reason."""

    runs: Sequence[FlowRun]
    refused: Sequence[tuple[str, int]]
    is_cut: bool

    @property
    def found(self) -> int:
        return len(self.runs) + sum(number for _, number in self.refused)


@requires(Action.CHANGE_RUNS)
def bulk(request: HttpRequest, action: str) -> HttpResponse:
    if action not in WORDS:
        raise Http404
    asked, now = read_filter(request.GET), timezone.now()
    # A filter that cannot be read would leave more runs than were meant.
    if asked.problems:
        messages.warning(request, " ".join(asked.problems))
        return redirect(_address("runs:runs", request.GET))
    scope = scope_of(asked, action, now)
    if request.method == "POST":
        return _step(request, action, scope, now)
    context = {
        "section": "runs",
        "action": action,
        "words": WORDS[action],
        "asked": asked,
        "scope": scope,
        "shown": scope.runs[:STEP],
        "step": min(STEP, len(scope.runs)),
        "back": _address("runs:runs", request.GET),
        "here": request.get_full_path(),
    }
    return TemplateResponse(request, "runs/bulk.html", context)


def scope_of(asked: AskedFilter, action: str, now: datetime) -> Scope:
    found = runs_page(wanted=asked.wanted, after=None, now=now, size=SCOPE)
    refused = JUDGES[action](found.page.rows, now=now)
    runs = [run for run in found.page.rows if run.pk not in refused]
    return Scope(runs, Counter(refused.values()).most_common(), found.page.after is not None)


def _no_refusals(runs: Sequence[FlowRun], *, now: datetime) -> Mapping[UUID, str]:
    """Any run can be deleted."""
    return {}


JUDGES: Mapping[str, Callable[..., Mapping[UUID, str]]] = {
    "retry": refusals_to_retry,
    "cancel": refusals_to_cancel,
    "delete": _no_refusals,
}


def _step(request: HttpRequest, action: str, scope: Scope, now: datetime) -> HttpResponse:
    """Do the action for the next few runs; the same page comes again while more are left."""
    author, done = actor_of(request).name, 0
    refused: Counter[str] = Counter()
    for run in scope.runs[:STEP]:
        reason = _do(run, action, now, author)
        done += not reason
        refused.update([reason] if reason else [])
    if done:
        messages.success(request, f"{done} {'run' if done == 1 else 'runs'} {DONE[action]}.")
    for reason, number in refused.most_common(3):
        messages.warning(request, f"{number} stayed as {'it is' if number == 1 else 'they are'}: {reason}")
    left = len(scope.runs) - STEP
    return redirect(request.get_full_path() if left > 0 and done else _address("runs:runs", request.GET))


def _do(run: FlowRun, action: str, now: datetime, author: str) -> str:
    """Return why it was refused; empty if it was done."""
    try:
        if action == "delete":
            delete_flow_run(run_id=run.pk)
            return ""
        command = retry_flow_run if action == "retry" else cancel_flow_run
        return command(run_id=run.pk, now=now, author=author).refusal
    except FlowRunNotFound:
        return "it was deleted meanwhile"


def _address(page: str, query: QueryDict) -> str:
    return f"{reverse(page)}?{query.urlencode()}"
