"""Problems: causes by which runs fail or wait, and the actions of users on each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from orchestration.database_clock import current_time
from orchestration.sight import sees_in_part
from orion_site.accounts.permissions import Action, actor_of, requires
from orion_site.database.replica import may_lag
from orion_site.live.pages import live_page
from orionflow.contract.states import BAD
from runs.errors import ProblemNotFound
from runs.models import FlowRun, Problem
from runs.naming import listed
from runs.pages.filtering import address_after
from runs.pages.selectors.keyset import Count, Cursor, page_of
from runs.pages.selectors.runs import state_reasons
from runs.problems.selectors import (
    MOST_COUNTED,
    OPEN,
    Extent,
    as_seen,
    extents_of,
    newest_message,
    newest_runs,
    problems_in,
    trend_of,
    waiting_now,
)
from runs.problems.services.counting import catch_up
from runs.problems.services.decisions import assign_problem, mute_problem, resolve_problem, unmute_problem
from runs.why.selectors.cause import Cause, cause_of
from runs.why.selectors.waiting import WaitingGroup

PROBLEMS_PER_PAGE, RUNS_SHOWN = 25, 10
# The most runs counted for each problem of the list; a problem's own page counts further.
COUNTED_IN_LIST = 1_000
HOURS = 24
LONGEST_TRACEBACK = 20_000
# The type of state whose icon and colour each status has.
LOOKS = {"new": "FAILED", "regressed": "CRASHED", "ongoing": "FAILED", "muted": "PAUSED", "resolved": "COMPLETED"}
STATUSES: Mapping[str, tuple[str, Sequence[str]]] = {
    "": ("Open", OPEN),
    **{one.value: (one.label, (one.value,)) for one in Problem.Status},
    "all": ("All", ()),
}
MUTES: Mapping[str, tuple[str, dict[str, Any], timedelta | None]] = {
    "grows-10": ("until it has failed 10 times more", {"grows_by": 10}, None),
    "grows-100": ("until it has failed 100 times more", {"grows_by": 100}, None),
    "version": ("until another version fails by it", {"other_version": True}, None),
    "day": ("for a day", {}, timedelta(days=1)),
    "week": ("for a week", {}, timedelta(days=7)),
    "always": ("until it is unmuted", {}, None),
}


@dataclass(frozen=True, slots=True)
class ProblemLine:
    """A problem with the number of runs and flows that it affects, as a row of the list and as the head of its page."""

    problem: Problem
    extent: Extent
    trend: Mapping[str, int]
    now: datetime
    cap: int

    @property
    def look(self) -> str:
        return LOOKS[self.problem.status]

    @property
    def runs(self) -> Count:
        return Count(self.extent.runs, capped=self.extent.runs >= self.cap)

    @property
    def failed(self) -> Count:
        return Count(self.extent.failed, capped=self.extent.failed >= self.cap)

    @property
    def runs_address(self) -> str:
        return f"{reverse('runs:runs')}?{urlencode({'problem': self.problem.pk})}"

    @property
    def failed_address(self) -> str:
        return f"{self.runs_address}&{urlencode({'state': 'failed,crashed'})}"

    @property
    def retry_address(self) -> str:
        query = {"problem": self.problem.pk, "state": "failed,crashed"}
        return f"{reverse('runs:bulk', args=['retry'])}?{urlencode(query)}"

    @property
    def flows(self) -> str:
        return listed(list(self.extent.flows))

    @property
    def versions(self) -> list[str]:
        return list(self.extent.versions)

    @property
    def spark(self) -> str:
        """Return the failures of the last hours as an SVG path, oldest first."""
        numbers = self._by_hour()
        top = max(numbers, default=0)
        if not top:
            return ""
        heights = [0 if not number else max(2, round(20 * number / top)) for number in numbers]
        return "".join(f"M{4 * place} 20v-{height}h3v{height}z" for place, height in enumerate(heights) if height)

    @property
    def spark_words(self) -> str:
        numbers = self._by_hour()
        return f"{sum(numbers)} failures in the last {HOURS} hours, at most {max(numbers, default=0)} in one"

    def _by_hour(self) -> list[int]:
        hours = [self.now.astimezone(UTC) - timedelta(hours=number) for number in reversed(range(HOURS))]
        return [self.trend.get(hour.strftime("%Y-%m-%dT%H"), 0) for hour in hours]


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """Runs that wait for the same reason."""

    group: WaitingGroup

    @property
    def number(self) -> Count:
        return Count(len(self.group.runs), capped=self.group.is_cut)

    @property
    def reason(self) -> str:
        return self.group.reason.text if self.group.reason else "The agents of these runs have not taken them."

    @property
    def address(self) -> str:
        queue = self.group.queue
        where = str(queue.pk) if queue else f"none,{self.group.oldest.deployment_id or ''}"
        return f"{reverse('runs:runs')}?{urlencode({'state': 'waiting', 'queue': where})}"

    @property
    def flows(self) -> str:
        return listed(list(dict.fromkeys(run.flow.name for run in self.group.runs)))


@requires(Action.READ_RUNS)
@may_lag
@live_page
def problems(request: HttpRequest) -> HttpResponse:
    now = current_time()
    catch_up(now)
    asked = request.GET.get("status", "")
    status = asked if asked in STATUSES else ""
    found = page_of(
        problems_in(STATUSES[status][1]),
        by="last_seen",
        after=Cursor.read(request.GET.get("after", "")),
        size=PROBLEMS_PER_PAGE,
    )
    extents = extents_of([one.pk for one in found.rows], cap=COUNTED_IN_LIST)
    is_first = "after" not in request.GET
    context = {
        "section": "problems",
        "lines": [
            ProblemLine(as_seen(one), extents[one.pk], trend_of(one), now, COUNTED_IN_LIST) for one in found.rows
        ],
        "waiting": [WaitingLine(group) for group in waiting_now(now)] if is_first and status == "" else [],
        "statuses": [(value, words) for value, (words, _) in STATUSES.items()],
        "status": status,
        "live_query": {"status": status},
        "is_first": is_first,
        "first": f"?status={status}",
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "runs/problems.html", context)


@requires(Action.READ_RUNS)
@may_lag
@live_page
def problem(request: HttpRequest, problem_id: UUID) -> HttpResponse:
    now = current_time()
    catch_up(now)
    found = Problem.objects.filter(pk=problem_id).first()
    if found is None:
        raise Http404
    line = ProblemLine(as_seen(found), extents_of([found.pk])[found.pk], trend_of(found), now, MOST_COUNTED)
    runs = newest_runs(found.pk, most=RUNS_SHOWN)
    message = newest_message(found.pk)
    cause = _newest_cause(runs, message)
    context = {
        "section": "problems",
        "line": line,
        "one": found,
        "title": f"{found.title[:120]} · {found.status} · Orion",
        "runs": runs,
        "reasons": state_reasons(runs),
        "message": message,
        "cause": cause,
        # A text without any word is not worth showing.
        "common": found.message if found.message != found.example and re.search(r"\w", found.message) else "",
        "traceback": _traceback(cause),
        "issue": _as_issue(request, line, runs, message, _traceback(cause)),
        "shows_total": not sees_in_part(),
        "mutes": [(value, words) for value, (words, *_) in MUTES.items()],
        "me": actor_of(request).name,
    }
    return TemplateResponse(request, "runs/problem.html", context)


def _newest_cause(runs: Sequence[FlowRun], message: str) -> Cause | None:
    """Return the task run and the log line behind the newest run that is failed because of it."""
    newest = next((run for run in runs if run.state_type in BAD), None)
    return cause_of(newest, message) if newest else None


def _traceback(cause: Cause | None) -> str:
    return cause.log_line.message[-LONGEST_TRACEBACK:] if cause and cause.log_line else ""


def _as_issue(request: HttpRequest, line: ProblemLine, runs: Sequence[FlowRun], message: str, traceback: str) -> str:
    """Return the problem as Markdown, to be pasted into an issue tracker."""
    one = line.problem
    text = traceback or message or one.title
    # Longer than any fence in the text, which would otherwise end this one.
    fence = "`" * max(3, max((len(ticks) for ticks in re.findall(r"`+", text)), default=0) + 1)
    facts = [
        f"- Problem: {request.build_absolute_uri(reverse('runs:problem', args=[one.pk]))}",
        f"- Runs: {line.runs}" + (f" of {line.flows}" if line.flows else ""),
        f"- First seen {one.first_seen:%Y-%m-%d %H:%M} UTC, last {one.last_seen:%Y-%m-%d %H:%M} UTC",
    ]
    if line.versions:
        facts.append(f"- Versions: {listed(line.versions)}")
    if runs:
        address = request.build_absolute_uri(reverse("runs:run", args=[runs[0].pk]))
        facts.append(f"- Newest run: {runs[0].name} {address}")
    heading = " ".join(f"{one.title} in {one.place}".split()) if one.place else one.title
    return "\n".join([f"## {heading}", "", *facts, "", f"{fence}text", text.strip(), fence])


# --- decisions of users ----------------------------------------------------------------------------------------------


@requires(Action.CHANGE_RUNS)
@require_POST
def mute(request: HttpRequest, problem_id: UUID) -> HttpResponse:
    how = request.POST.get("how", "")
    if how not in MUTES:
        messages.warning(request, "Nothing was done: choose until when it is muted.")
        return redirect("runs:problem", problem_id)
    words, conditions, period = MUTES[how]
    now = current_time()
    until = now + period if period else None
    return _decide(request, problem_id, f"Muted {words}.", lambda: mute_problem(
        problem_id=problem_id, now=now, until=until, **conditions
    ))  # fmt: skip


@requires(Action.CHANGE_RUNS)
@require_POST
def unmute(request: HttpRequest, problem_id: UUID) -> HttpResponse:
    return _decide(
        request, problem_id, "It is open again.", lambda: unmute_problem(problem_id=problem_id, now=current_time())
    )


@requires(Action.CHANGE_RUNS)
@require_POST
def resolve(request: HttpRequest, problem_id: UUID) -> HttpResponse:
    by = actor_of(request).name
    done = "Resolved. A run that begins later and fails by it opens it again."
    return _decide(request, problem_id, done, lambda: resolve_problem(problem_id=problem_id, by=by, now=current_time()))


@requires(Action.CHANGE_RUNS)
@require_POST
def assign(request: HttpRequest, problem_id: UUID) -> HttpResponse:
    assignee = " ".join(request.POST.get("assignee", "").replace("\x00", "").split())[:255]
    done = f"Assigned to {assignee}." if assignee else "Assigned to nobody."
    return _decide(
        request,
        problem_id,
        done,
        lambda: assign_problem(problem_id=problem_id, assignee=assignee, now=current_time()),
    )


def _decide(request: HttpRequest, problem_id: UUID, done: str, command: Callable[[], object]) -> HttpResponse:
    try:
        command()
    except ProblemNotFound as error:
        raise Http404 from error
    messages.success(request, done)
    return redirect("runs:problem", problem_id)
