"""The log on a run's page, its addresses, and its file, filtered by `level`, `task` and `q`.

`after`, `before` and `at` name a line by its time and id; `from=end` means the last lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe
from pydantic_core import to_json

from orchestration.core.states import TERMINAL
from orchestration.reading import refuse_lag
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orionflow.contract.states import BAD
from runs.models import FlowRun, Log, TaskRun
from runs.pages.selectors import log as selectors
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.log import FLOW_ITSELF, LogCriteria, LogPage, Where
from runs.pages.timeline import DrawnLine
from runs.templatetags.shown import level_name

LEVEL_CHOICES = [(0, "All levels"), (20, "Info and above"), (30, "Warnings and above"), (40, "Errors only")]
LONGEST_WORDS = 200
# Parameters that choose which part of a log is shown, as opposed to which lines match.
PLACES = ("after", "before", "at", "from", "log", "since", "_f")

R = TypeVar("R", FlowRun, TaskRun)


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice of the form for tasks."""

    value: str
    words: str


def read_criteria(query: QueryDict) -> LogCriteria:
    level = query.get("level", "")
    return LogCriteria(
        int(level) if level.isdecimal() and len(level) < 4 else 0,
        query.get("task", "").strip(),
        query.get("q", "").strip()[:LONGEST_WORDS],
    )


def read_where(query: QueryDict, *, is_moving: bool) -> Where:
    """Return the requested part of the log. The log of a run that has not ended opens at its end."""
    after, before, at = (Cursor.read(query.get(name, "")) for name in ("after", "before", "at"))
    is_at_end = query.get("from") == "end" or (is_moving and not query.get("from"))
    return Where(after, before, at, is_at_end and not (after or before or at))


def flow_run_log(request: HttpRequest, run: FlowRun, task_keys: list[str]) -> dict[str, Any]:
    criteria = read_criteria(request.GET)
    lines = selectors.lines_of_flow_run(run.id, criteria)
    context = _context(request, run, lines, criteria)
    choices = [Choice("", "All tasks"), Choice(FLOW_ITSELF, "The flow itself")]
    choices += [Choice(key, key.rpartition(".")[2]) for key in task_keys]
    if criteria.task and criteria.task not in {one.value for one in choices}:
        name = next((line.task_name for line in context["log"].lines if line.task_run_id == criteria.task_run_id), None)
        choices.append(Choice(criteria.task, name or criteria.task[:60]))
    return {**context, "task_choices": choices if len(choices) > 2 else []}


def task_run_log(request: HttpRequest, run: TaskRun) -> dict[str, Any]:
    criteria = read_criteria(request.GET)
    return _context(request, run, selectors.lines_of_task_run(run.id, criteria), criteria)


def _context(
    request: HttpRequest, run: FlowRun | TaskRun, lines: QuerySet[Log], criteria: LogCriteria
) -> dict[str, Any]:
    where = read_where(request.GET, is_moving=run.state_type not in TERMINAL)
    page = selectors.log_page(lines, run_id=run.id, criteria=criteria, where=where)
    kind = "run" if isinstance(run, FlowRun) else "task-run"
    is_narrowed = bool(criteria.level or criteria.task or criteria.words)
    return {
        "log": page,
        "criteria": criteria,
        "where": where,
        "level_choices": LEVEL_CHOICES,
        "is_narrowed": is_narrowed,
        "errors": selectors.count_errors(lines) if page.lines or is_narrowed else None,
        # New lines belong below the last one, so they are appended only if the page shows it.
        "follows": page.after is None,
        "first": address(request.GET, **{"from": "start"}) if page.before else "",
        "earlier": address(request.GET, before=str(page.before)) if page.before else "",
        "later": address(request.GET, after=str(page.after)) if page.after else "",
        "end": address(request.GET, **{"from": "end"}),
        "error_address": reverse(f"runs:{kind}-log-error", args=[run.id]),
        "files": [
            (words, f"{reverse(f'runs:{kind}-log-{name}', args=[run.id])}{_filter_of(request.GET)}")
            for name, words in (("text", "Save as text"), ("jsonl", "Save as JSON lines"))
        ],
    }


@dataclass(frozen=True, slots=True)
class LogBeside:
    """The part of the log below a timeline. Lines of the chosen subject are marked, and link to its row."""

    log: LogPage
    where: Where
    subject: str
    name: str
    marked: frozenset[UUID]
    rows: dict[str, str]
    is_at_error: bool

    @property
    def follows(self) -> bool:
        return self.log.after is None


def log_beside(
    request: HttpRequest, run: FlowRun, rows: Sequence[DrawnLine], traceback: Log | None = None
) -> LogBeside:
    """Return the log at the start of the chosen bar, at the error of a failed run, or as it opens by default."""
    subject = request.GET.get("log", "")
    criteria = LogCriteria()
    lines = selectors.lines_of_flow_run(run.id, criteria)
    where = read_where(request.GET, is_moving=run.state_type not in TERMINAL)
    error = None
    if subject and not where.after:
        since = _moment(request.GET.get("since", ""))
        place = selectors.first_line(selectors.lines_of_tasks(run.id, subject), since=since)
        where = Where(at=place) if place else where
    elif run.state_type in BAD and where == Where():
        error = Cursor(traceback.timestamp, traceback.pk) if traceback else selectors.error_beside(lines)
        where = Where(at=error)
    page = selectors.log_page(lines, run_id=run.id, criteria=criteria, where=where, size=selectors.LINES_BESIDE)
    anchors = {row.subject: row.anchor for row in rows}
    of_tasks = {
        str(line.task_run_id): anchors.get(str(line.task_run_id)) or anchors.get(line.task_key or "", "")
        for line in page.lines
        if line.task_run_id
    }
    name = next((row.line.name for row in rows if row.subject == subject), "")
    mine = [line for line in page.lines if subject and subject in {str(line.task_run_id), line.task_key}]
    marked = frozenset(line.id for line in mine)
    return LogBeside(page, where, subject, name, marked, of_tasks, error is not None)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def address(query: QueryDict, **place: str) -> str:
    """Return the address of another part of the log."""
    kept = query.copy()
    for name in PLACES:
        kept.pop(name, None)
    kept["tab"] = "logs"
    for name, value in place.items():
        kept[name] = value
    return "?" + kept.urlencode()


def _filter_of(query: QueryDict) -> str:
    kept = {name: query.get(name, "") for name in ("level", "task", "q") if query.get(name)}
    return f"?{urlencode(kept)}" if kept else ""


@requires(Action.READ_RUNS)
def flow_run_error(request: HttpRequest, run_id: UUID) -> HttpResponse:
    _known(FlowRun.objects.filter(pk=run_id))
    return _to_error(request, reverse("runs:run", args=[run_id]), selectors.lines_of_flow_run(run_id, LogCriteria()))


@requires(Action.READ_RUNS)
def task_run_error(request: HttpRequest, run_id: UUID) -> HttpResponse:
    _known(TaskRun.objects.filter(pk=run_id))
    return _to_error(
        request, reverse("runs:task-run", args=[run_id]), selectors.lines_of_task_run(run_id, LogCriteria())
    )


def _known(runs: QuerySet[R]) -> R:
    run = runs.only("name", "state_type").first()
    if run is None:
        raise Http404
    if run.state_type not in TERMINAL:
        refuse_lag()
    return run


def _to_error(request: HttpRequest, page: str, lines: QuerySet[Log]) -> HttpResponse:
    """Redirect to the first error, the next one after a line, or the last one before it; otherwise to that line."""
    after, before = (Cursor.read(request.GET.get(name, "")) for name in ("after", "before"))
    place = selectors.error_beside(lines, after=after, before=before) or after or before
    if place is None:
        return HttpResponseRedirect(f"{page}?tab=logs")
    return HttpResponseRedirect(f"{page}?{urlencode({'tab': 'logs', 'at': str(place)})}#line-{place.id}")


@requires(Action.READ_RUNS)
@may_lag
@require_safe
def flow_run_file(request: HttpRequest, run_id: UUID, kind: str) -> HttpResponseBase:
    run = _known(FlowRun.objects.filter(pk=run_id))
    criteria = read_criteria(request.GET)
    return _file(run, selectors.lines_of_flow_run(run_id, criteria), criteria, kind)


@requires(Action.READ_RUNS)
@may_lag
@require_safe
def task_run_file(request: HttpRequest, run_id: UUID, kind: str) -> HttpResponseBase:
    run = _known(TaskRun.objects.filter(pk=run_id))
    criteria = read_criteria(request.GET)
    return _file(run, selectors.lines_of_task_run(run_id, criteria), criteria, kind)


def _file(run: FlowRun | TaskRun, lines: QuerySet[Log], criteria: LogCriteria, kind: str) -> HttpResponseBase:
    chunks = selectors.chunks(lines, run_id=run.id, criteria=criteria)
    write = _as_text if kind == "txt" else _as_json
    return StreamingHttpResponse(
        (b"".join(write(line) for line in rows) for rows in chunks),
        content_type="text/plain; charset=utf-8" if kind == "txt" else "application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{_plain(run.name) or run.id}.{kind}"'},
    )


def _plain(name: str) -> str:
    return "".join(one for one in name if one.isascii() and (one.isalnum() or one in "-_"))[:100]


def _as_text(line: Log) -> bytes:
    at = line.timestamp.astimezone(UTC)
    head = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC {level_name(line.level).upper():8} {line.name}"
    return f"{head}: {line.message}\n".encode()


def _as_json(line: Log) -> bytes:
    columns = ("id", "timestamp", "level", "name", "message", "flow_run_id", "task_run_id")
    return to_json({name: getattr(line, name) for name in columns}) + b"\n"
