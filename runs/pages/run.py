"""The pages of a flow run and of a task run: a common head, and the part below it by tab."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from deployments.archive.place import ArchiveUnavailable
from deployments.archive.selectors import may_be_archived
from orchestration.core.states import TERMINAL, StateType
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orion_site.accounts.permissions import Action, requires
from orion_site.live.pages import is_shown, live_page
from orionflow.contract.states import BAD
from runs.models import FlowRun, TaskRun
from runs.pages.charts import parts_of
from runs.pages.filtering import address_after, address_without
from runs.pages.graph_tab import graph_tab
from runs.pages.log import flow_run_log, task_run_log
from runs.pages.resume import answer_form_of
from runs.pages.selectors import run as selectors
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.neighbours import neighbours, next_failed
from runs.pages.selectors.results import result_of_task_run, results_of_flow_run
from runs.pages.selectors.retries import retries_shown
from runs.pages.selectors.usual import elapsed, usual_of
from runs.pages.time_spent import lines_of_time, parts_of_time
from runs.pages.timeline_tab import opened_in, timeline_tab
from runs.pages.trace import shown_trace
from runs.templatetags.states import look
from runs.time_spent.selectors.of_run import time_of_run

FLOW_RUN_TABS = {
    "timeline": "Timeline",
    "graph": "Graph",
    "tasks": "Task runs",
    "logs": "Logs",
    "time": "Time",
    "history": "History",
    "parameters": "Parameters",
    "results": "Results",
    "subflows": "Subflow runs",
    "artifacts": "Artifacts",
}
TASK_RUN_TABS = {"logs": "Logs", "history": "History", "inputs": "Inputs", "result": "Result", "artifacts": "Artifacts"}
# Topics of the flow run that update the part below the tabs.
TOPICS_OF_TABS = {
    "timeline": ":tasks",
    "graph": ":tasks",
    "tasks": ":tasks",
    "time": ":tasks",
    "logs": ":log",
    "subflows": ":tasks",
    "results": ":tasks",
    "artifacts": ":tasks",
}
STATE_CHOICES = [("", "Any state"), *[(kind.value, kind.value.capitalize()) for kind in StateType]]


def _from_archive(run_id: UUID) -> HttpResponse:
    """Redirect to the page of an archived run if the archive may contain it."""
    try:
        if may_be_archived(run_id):
            return redirect("deployments:archived-run", run_id)
    except ArchiveUnavailable as error:
        raise Http404(str(error)) from error
    raise Http404


@requires(Action.READ_RUNS)
@live_page
def flow_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    now = current_time()
    # Links to other runs are in no live part, so that they do not move while the reader goes from run to run.
    run = selectors.flow_run_facts(run_id=run_id, **(neighbours(now) if is_shown(request) else {}))
    if run is None:
        return _from_archive(run_id)
    shows_tab = is_shown(request, "tab", "beside")
    # Requests for a part name its tab. Parts above the tabs do not show counts.
    counts = shows_tab or is_shown(request, "progress") or request.GET.get("tab") not in FLOW_RUN_TABS
    opens_timeline = shows_tab and not request.GET.keys() & {"state", "task"}
    if opens_timeline and request.GET.get("tab", "timeline") not in FLOW_RUN_TABS.keys() - {"timeline"}:
        progress = selectors.progress_with_tasks(run_id=run.id, opened=opened_in(request))
    else:
        progress = selectors.progress_of(run_id=run.id) if counts else selectors.NO_PROGRESS
    tab = chosen_tab(request, FLOW_RUN_TABS, first_tab(request, progress))
    why = failure = None
    attempts: Sequence[datetime] = ()
    if shows_tab or is_shown(request, "facts"):
        state, attempts = selectors.read_states(run)
        why = selectors.why_flow_run(run=run, state=state, now=now)
        failure = selectors.failure_of(run=run, message=why.message, now=now)
    runs_now = run.state_type == StateType.RUNNING and is_shown(request, "now")
    context = {
        **head_of(request, run, tab, FLOW_RUN_TABS),
        "elapsed": elapsed(run, usual_of(run, now), now) if runs_now else None,
        "page_title": page_title(run, run.flow.name),
        "tab_topics": f"run:{run.id}{TOPICS_OF_TABS.get(tab, '')}",
        "why": why,
        "failure": failure,
        "origin": selectors.origin_of(run),
        "trace": shown_trace(run),
        "progress": progress,
        "parts": parts_of(progress),
        "retries": retries_shown(run) if shows_tab or is_shown(request, "facts") else None,
        "offers_retry": run.state_type in BAD,
        "answer": answer_form_of(request, run) if is_shown(request, "actions", "answer") else None,
        "can_retry": run.deployment_id is not None and run.state_type in TERMINAL - {StateType.CANCELLED},
        **(flow_run_tab(request, run, tab, progress, failure, attempts) if shows_tab else {}),
    }
    return TemplateResponse(request, "runs/run.html", context)


@requires(Action.READ_RUNS)
def next_failed_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Lead to the first later run of the same deployment or flow that failed: only asked for when it is wanted."""
    try:
        found = next_failed(run_id=run_id)
    except FlowRunNotFound as error:
        raise Http404 from error
    if found is None:
        messages.info(request, "No later run of it has failed.")
    return redirect("runs:run", found or run_id)


@requires(Action.READ_RUNS)
@live_page
def task_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    run = selectors.task_run_facts(run_id=run_id)
    if run is None:
        raise Http404
    tab = chosen_tab(request, TASK_RUN_TABS, "logs")
    context = {
        **head_of(request, run, tab, TASK_RUN_TABS),
        "page_title": page_title(run, run.flow_run.flow.name if run.flow_run else ""),
        "tab_topics": f"task:{run.id}:log" if tab == "logs" else f"task:{run.id}",
        "why": selectors.why_task_run(run=run, now=current_time()),
        "can_retry_from": run.flow_run is not None and run.flow_run.state_type in TERMINAL,
        "child": selectors.child_flow_run_of_task(task_run_id=run.id),
        **task_run_tab(request, run, tab),
    }
    return TemplateResponse(request, "runs/task_run.html", context)


def page_title(run: FlowRun | TaskRun, of: str) -> str:
    """Return the title with the state first: a row of browser tabs shows little more."""
    state = look(run.state_type, run.state_name)[1]
    return " · ".join(filter(None, (state, run.name or str(run.id), of, "Orion")))


def chosen_tab(request: HttpRequest, tabs: dict[str, str], usual: str) -> str:
    asked = request.GET.get("tab", "")
    return asked if asked in tabs else usual


def first_tab(request: HttpRequest, progress: selectors.Progress) -> str:
    """Return the tab that opens first: a run without task runs has only a log."""
    if "state" in request.GET or "task" in request.GET:
        return "tasks"
    return "timeline" if progress.total.number else "logs"


def head_of(request: HttpRequest, run: FlowRun | TaskRun, tab: str, tabs: dict[str, str]) -> dict[str, Any]:
    is_finished = run.state_type in TERMINAL
    running_since = run.state_timestamp if run.state_type == "RUNNING" else None
    return {
        "section": "runs",
        "run": run,
        "tab": tab,
        "live_query": {"tab": tab},
        "tabs": tabs,
        "resource": f"prefect.{'flow' if isinstance(run, FlowRun) else 'task'}-run.{run.id}",
        "is_finished": is_finished,
        # Without scripts, the page of an unfinished run reloads itself; the reader can stop that.
        "reloads": not is_finished and request.GET.get("refresh") != "0",
        "still": address_without(request.GET) + "&refresh=0",
        "duration": run.total_run_time,
        "running_since": running_since - run.total_run_time if running_since else None,
    }


def flow_run_tab(
    request: HttpRequest,
    run: FlowRun,
    tab: str,
    progress: selectors.Progress,
    failure: selectors.Failure | None,
    attempts: Sequence[datetime],
) -> dict[str, Any]:
    after = Cursor.read(request.GET.get("after", ""))
    match tab:
        case "timeline":
            return timeline_tab(request, run, progress, failure, attempts)
        case "graph":
            return graph_tab(request, run)
        case "tasks":
            return _tasks_tab(request, run, after)
        case "subflows":
            return paged(request, *selectors.child_flow_runs_of(run_id=run.id, after=after))
        case "logs":
            return flow_run_log(request, run, progress.task_keys)
        case "results":
            shown = results_of_flow_run(run, after=after)
            following = address_after(request.GET, shown.after)
            return {"results": shown, "is_first": after is None, "next": following}
        case "time":
            return _time_tab(run)
        case "history":
            return {"history": selectors.flow_run_history(run_id=run.id, states=run.seq)}
        case "parameters":
            return {"defaults": selectors.defaults_of(run)}
        case "artifacts":
            return {"artifacts": selectors.artifacts_of(run_id=run.id)}
    return {}


def _tasks_tab(request: HttpRequest, run: FlowRun, after: Cursor | None) -> dict[str, Any]:
    state, task_key = request.GET.get("state", "").upper(), request.GET.get("task", "")
    page, reasons = selectors.task_runs_of(run_id=run.id, state=state, task_key=task_key, after=after)
    asked = {"state": state, "task_key": task_key, "state_choices": STATE_CHOICES}
    return {**asked, **paged(request, page, reasons)}


def _time_tab(run: FlowRun) -> dict[str, Any]:
    spent = time_of_run(run_id=run.id, now=current_time())
    assert spent is not None
    return {
        "spent": spent,
        "parts_of_time": parts_of_time(spent),
        "lines": lines_of_time(spent.shares, spent.lasted),
    }


def task_run_tab(request: HttpRequest, run: TaskRun, tab: str) -> dict[str, Any]:
    match tab:
        case "logs":
            return task_run_log(request, run)
        case "result":
            return {"results": result_of_task_run(run)}
        case "history":
            return {"history": selectors.task_run_history(run)}
        case "artifacts":
            return {"artifacts": selectors.artifacts_of(run_id=run.id)}
    return {}


def paged(request: HttpRequest, page: Any, reasons: dict[str, str]) -> dict[str, Any]:
    is_first, first = "after" not in request.GET, address_without(request.GET)
    following = address_after(request.GET, page.after)
    return {"page": page, "reasons": reasons, "is_first": is_first, "first": first, "next": following}
