"""The pages of the archive: runs that left the database, by time, and single runs with their records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from deployments.archive.place import ArchiveUnavailable, is_configured
from deployments.archive.selectors import Wanted, archived_page, archived_run
from orion_site.accounts.permissions import Action, requires
from orionflow.contract.states import TERMINAL, in_order
from runs.models import TaskRun, TaskRunState
from runs.pages.filtering import address_after, address_without
from runs.pages.selectors.keyset import Cursor
from runs.states.selectors import unfolded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

RUNS_PER_PAGE = 50
# Seconds after which a page stops searching, and shows how far back it has come.
PATIENCE_SECONDS = 5.0
LAST_ID = UUID(int=2**128 - 1)
DAY = timedelta(days=1)
# Runs that have not ended are never archived.
STATES = [(value.lower(), value.capitalize()) for value in in_order(TERMINAL)]


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task run with its states."""

    run: TaskRun
    states: Sequence[TaskRunState]


def _available(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Show a page about an error of the archive instead of failing."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except ArchiveUnavailable as error:
            context = {"section": "runs", "problem": str(error)}
            return TemplateResponse(request, "deployments/archive.html", context, status=503)

    return shown


@requires(Action.READ_RUNS)
@_available
def archive(request: HttpRequest) -> HttpResponse:
    if not is_configured():
        return TemplateResponse(request, "deployments/archive.html", {"section": "runs", "is_off": True})
    problems: list[str] = []
    values = {name: request.GET.get(name, "").strip() for name in ("since", "until", "flow", "state", "q")}
    # Include the last day itself.
    since, until = _day(values["since"], problems), _day(values["until"], problems, DAY)
    # An input for a day cannot show an invalid value, so the problem quotes it.
    values |= {name: "" for name, day in (("since", since), ("until", until)) if day is None}
    if values["state"] and values["state"] not in dict(STATES):
        problems.append(f"{values['state']!r} is not a state.")
        values["state"] = ""
    before = Cursor.read(request.GET.get("after", ""))
    wanted = Wanted(
        since=since,
        until=until,
        states=[values["state"].upper()] if values["state"] else [],
        flow=values["flow"],
        name=values["q"],
        after=(before.at, before.id) if before else None,
    )
    found = archived_page(wanted, limit=RUNS_PER_PAGE + 1, patience=PATIENCE_SECONDS)
    shown, after = found.runs[:RUNS_PER_PAGE], None
    if len(found.runs) > RUNS_PER_PAGE:
        after = Cursor(shown[-1].expected, shown[-1].id)
    elif found.reached is not None:
        after = Cursor(found.reached, LAST_ID)
    context = {
        "section": "runs",
        "runs": shown,
        "values": values,
        "problems": problems,
        "state_choices": STATES,
        "is_filtered": any(values.values()),
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "reached": found.reached,
        "next": address_after(request.GET, after),
    }
    return TemplateResponse(request, "deployments/archive.html", context)


@requires(Action.READ_RUNS, by_sight=True)
@_available
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    found = archived_run(run_id) if is_configured() else None
    if found is None:
        raise Http404(f"The archive has no run {run_id}.")
    context = {
        "section": "runs",
        "found": found,
        "run": found.run,
        "tasks": [_line(task, found.task_run_states) for task in found.task_runs],
    }
    return TemplateResponse(request, "deployments/archived_run.html", context)


def _line(task: TaskRun, rows: Mapping[UUID, Sequence[TaskRunState]]) -> TaskLine:
    return TaskLine(task, [*unfolded(task), *rows.get(task.pk, ())])


def _day(text: str, problems: list[str], more: timedelta = timedelta()) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text) + more, time(), timezone.get_current_timezone())
    except (ValueError, OverflowError):
        problems.append(f"{text!r} is not a day; write 2026-01-31.")
        return None
