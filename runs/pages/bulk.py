"""Actions on all runs that a filter finds: a page says which, and which will be left out; then a few runs at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from orchestration.core.states import TERMINAL, StateType, awaiting_retry, cancelling
from orchestration.core.verdicts import Accept
from orchestration.errors import FlowRunNotFound
from orchestration.services import propose_flow_run_state
from orion_site.accounts.permissions import Action, actor_of, requires
from runs.flow_runs.services import delete_flow_run
from runs.models import FlowRun
from runs.pages.filtering import AskedFilter, read_filter
from runs.pages.selectors.runs import runs_page

# The page looks at so many runs, and one step changes so many: each is a transaction of its own.
SCOPE, STEP = 1_000, 50
DONE = {"retry": "will be tried again", "cancel": "are being cancelled", "delete": "were deleted"}
WORDS = {"retry": "Retry", "cancel": "Cancel", "delete": "Delete"}
RETRIED = {StateType.FAILED, StateType.CRASHED}


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
    refusals = [(run, refusal_of(run, action)) for run in found.page.rows]
    counted = Counter(reason for _, reason in refusals if reason)
    return Scope([run for run, reason in refusals if not reason], counted.most_common(), found.page.after is not None)


def refusal_of(run: FlowRun, action: str) -> str:
    """Why the action cannot concern the run; empty where only the rules can tell."""
    if action == "retry":
        if run.state_type not in RETRIED:
            return "did not fail"
        return "" if run.deployment_id else "made by no deployment, so only their own programs can run them again"
    if action == "cancel":
        if run.state_type in TERMINAL:
            return "ended already"
        return "being cancelled already" if run.state_type == StateType.CANCELLING else ""
    return ""


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
        proposed = awaiting_retry(now) if action == "retry" else cancelling()
        outcome = propose_flow_run_state(run_id=run.pk, proposed=proposed, now=now, author=author)
    except FlowRunNotFound:
        return "it was deleted meanwhile"
    if isinstance(outcome.verdict, Accept) or outcome.written:
        return ""
    return outcome.verdict.reason


def _address(page: str, query: QueryDict) -> str:
    return f"{reverse(page)}?{query.urlencode()}"
