"""Actions on all runs that a filter finds: a page shows the runs, and those that the rules would refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, actor_of, requires
from orionflow.contract.ids import uuid7
from runs.bulk_actions.services import FEW, MOST, NewBulkAction, carry_out_bulk_action
from runs.errors import NothingToChange
from runs.flow_runs.commands import refusals_to_cancel, refusals_to_retry
from runs.models import BulkAction, FlowRun
from runs.pages.filtering import RequestedFilter, address_for_redirect, read_filter
from runs.pages.selectors.bulk import Chosen, chosen_runs, newest_of
from runs.pages.selectors.failures import LOOKED_AT
from runs.pages.selectors.keyset import Count
from runs.retries.services import refusals_to_retry_from

# The most runs that the rules judge for the page, and the most runs that it lists.
JUDGED, SHOWN = 1_000, 50
MOST_TASKS = 20
# For this long after the page was made, its button applies to the runs of that time.
VALID = timedelta(days=1)
DONE = {
    "retry": ("will be tried again", "will be tried again"),
    "cancel": ("is being cancelled", "are being cancelled"),
    "delete": ("was deleted", "were deleted"),
}
WORDS = {"retry": "Retry", "cancel": "Cancel", "delete": "Delete"}


@dataclass(frozen=True, slots=True)
class Scope:
    """The runs that an action concerns; of the newest, those that it may change, and the reasons against the others."""

    chosen: Chosen
    runs: Sequence[FlowRun]
    refused: Sequence[tuple[str, int]]

    @property
    def found(self) -> int:
        return len(self.chosen.runs)

    @property
    def judged(self) -> int:
        return len(self.runs) + sum(number for _, number in self.refused)

    @property
    def is_judged_whole(self) -> bool:
        return self.judged >= self.found

    @property
    def meant(self) -> Sequence[tuple[UUID, str]]:
        """The runs that the button applies to: if the rules judged all of them, only those that they would accept."""
        return [(run.pk, run.name) for run in self.runs] if self.is_judged_whole else self.chosen.runs

    @property
    def number(self) -> Count:
        return Count(len(self.meant))


@requires(Action.CHANGE_RUNS, by_sight=True)
def bulk(request: HttpRequest, action: str) -> HttpResponse:
    if action not in WORDS:
        raise Http404
    requested, now = read_filter(request.GET), current_time()
    # Ignoring the part that cannot be read would select more runs than the user meant.
    if requested.problems:
        messages.warning(request, " ".join(requested.problems))
        return redirect(_address("runs:runs", request.GET))
    if request.method == "POST":
        return _begin(request, action, requested, now)
    wanted = _from_tasks(request, action)
    scope = scope_of(requested, action, now, now, wanted)
    context = {
        "from_tasks": wanted,
        "kept": [(name, one) for name, every in request.GET.lists() if name != "from" for one in every],
        "section": "runs",
        "action": action,
        "words": WORDS[action],
        "requested": requested,
        "scope": scope,
        "found": Count(scope.found),
        "failures_read": LOOKED_AT,
        "shown": scope.runs[:SHOWN],
        "few": FEW,
        "back": _address("runs:runs", request.GET),
        "here": request.get_full_path(),
        "as_of": now.isoformat(),
        "new_id": uuid7(),
    }
    return TemplateResponse(request, "runs/bulk.html", context)


def _from_tasks(request: HttpRequest, action: str) -> list[str]:
    """Return the tasks from which each run is retried; empty where it is retried as a whole."""
    named = [one.strip() for one in request.GET.getlist("from") if one.strip()] if action == "retry" else []
    return list(dict.fromkeys(named))[:MOST_TASKS]


def scope_of(
    requested: RequestedFilter, action: str, as_of: datetime, now: datetime, from_tasks: Sequence[str] = ()
) -> Scope:
    """Return the runs that existed at `as_of`, and what the rules say about them now."""
    chosen = chosen_runs(wanted=requested.wanted, now=as_of, most=MOST)
    newest = newest_of(chosen, most=JUDGED)
    judge = partial(refusals_to_retry_from, wanted=from_tasks) if from_tasks else JUDGES[action]
    refused = judge(newest, now=now)
    return Scope(chosen, [run for run in newest if run.pk not in refused], Counter(refused.values()).most_common())


def _no_refusals(runs: Sequence[FlowRun], *, now: datetime) -> Mapping[UUID, str]:
    """Refuse none: any run can be deleted."""
    return {}


JUDGES: Mapping[str, Callable[..., Mapping[UUID, str]]] = {
    "retry": refusals_to_retry,
    "cancel": refusals_to_cancel,
    "delete": _no_refusals,
}


def _begin(request: HttpRequest, action: str, requested: RequestedFilter, now: datetime) -> HttpResponse:
    """Start the action on the runs that existed when the page was made; few runs are changed at once."""
    as_of = _moment(request.POST.get("as_of", ""), now)
    if as_of is None:
        messages.warning(request, "The page was too old; these are the runs by now.")
        return redirect(request.get_full_path())
    from_tasks = _from_tasks(request, action)
    scope = scope_of(requested, action, as_of, now, from_tasks)
    new = NewBulkAction(
        action=action,
        runs=scope.meant,
        filter={"query": request.GET.urlencode()},
        author=actor_of(request).name,
        entrance="page",
        is_cut=scope.chosen.is_cut,
        id=_id(request.POST.get("id", "")),
        from_tasks=from_tasks,
    )
    try:
        begun = carry_out_bulk_action(new=new, now=now)
    except NothingToChange as error:
        messages.warning(request, str(error))
        return redirect(_address("runs:runs", request.GET))
    if begun.status == BulkAction.Status.ACTIVE:
        return redirect("runs:bulk-action", begun.pk)
    _report(request, begun)
    return redirect(_address("runs:runs", request.GET))


def _report(request: HttpRequest, ended: BulkAction) -> None:
    """Show the outcome in messages, with links to the runs."""
    page = reverse("runs:bulk-action", args=[ended.pk])
    sentences = []
    if ended.done:
        one, many = DONE[ended.action]
        sentences.append(f"{ended.done} {'run' if ended.done == 1 else 'runs'} {one if ended.done == 1 else many}.")
    for reason, number in Counter(ended.reasons).most_common(3):
        sentences.append(f"{number} stayed as {'it is' if number == 1 else 'they are'}: {reason.rstrip('.')}.")
    level = messages.SUCCESS if ended.done else messages.WARNING
    words = format_html('{} <a href="{}">What came of each</a>', " ".join(sentences), page)
    messages.add_message(request, level, words)


def _moment(text: str, now: datetime) -> datetime | None:
    """Return when the page was made: now if it does not say, None if that is too long ago."""
    if not text:
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return min(moment, now) if moment.tzinfo and moment > now - VALID else None


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _address(page: str, query: QueryDict) -> str:
    return address_for_redirect(reverse(page), query)
