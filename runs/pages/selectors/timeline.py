"""The timeline of a flow run: its task runs by task; for a task with few runs, with each attempt.

A task that was mapped over 10,000 inputs is one row, which the database sums up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, F, Max, Min, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce

from orchestration.large import Bytes
from orionflow.contract.states import BETWEEN_ATTEMPTS, TERMINAL, StateType
from runs.graphs.selectors import upstream_ids
from runs.models import FlowRun, FlowRunState, TaskRun
from runs.states.selectors import FOLDED, passages_of_task_runs
from runs.time_spent.core.critical import Step, critical_path

# A task with more runs than this is one row; at most TASKS_SHOWN tasks are shown.
RUNS_SHOWN_APART = 5
TASKS_SHOWN = 200
STATES_READ = 2000
ATTEMPTS_SHOWN = 100
# The states of a flow run that start an attempt, and those before RUNNING that decide whether it does.
STARTS_OR_CONTINUES = Q(type__in=[StateType.RUNNING, StateType.PAUSED, *TERMINAL]) | Q(name__in=BETWEEN_ATTEMPTS)
# For a task run with longer inputs, in characters of JSON, the critical path ignores the inputs and uses its times.
LARGEST_INPUTS = 65_536
TIMES = ("state_type", "expected_start_time", "start_time", "end_time", "total_run_time", "state_timestamp", "created")


@dataclass(frozen=True, slots=True)
class Span:
    """A period that a run spent in one way: "wait", "work" or, between two attempts, "rest"."""

    kind: str
    begin: datetime
    end: datetime
    state_type: str = ""
    # Work that continues an attempt, after a pause.
    is_resumed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One row: a task run with its attempts, or all runs of one task."""

    name: str
    spans: Sequence[Span]
    by_type: Mapping[str, int]
    duration: timedelta
    run: TaskRun | None = None
    subflow: FlowRun | None = None
    task_key: str = ""
    shortest: timedelta | None = None
    longest: timedelta | None = None

    @property
    def number(self) -> int:
        return sum(self.by_type.values())

    @property
    def subject(self) -> str:
        """The id of the task run, or the key of the task if the row has all of its runs."""
        return str(self.run.id) if self.run else self.task_key

    @property
    def begin(self) -> datetime:
        return self.spans[0].begin


@dataclass(frozen=True, slots=True)
class Timeline:
    """Rows in the order of their start, between the first time and the last."""

    begin: datetime
    end: datetime
    lines: Sequence[Line]
    waited: timedelta
    left_out: int = 0
    # The ids of task runs and keys of tasks on the critical path: the end of the run waited for them.
    critical: frozenset[str] = frozenset()


@dataclass(slots=True)
class SummedTask:
    """All runs of one task, summed up by the database."""

    key: str
    name: str = ""
    by_type: dict[str, int] = field(default_factory=dict)
    begin: datetime | None = None
    end: datetime | None = None
    shortest: timedelta | None = None
    longest: timedelta | None = None


def timeline_of(*, run: FlowRun, now: datetime, tasks: Sequence[SummedTask] | None = None) -> Timeline:
    """Return the timeline of a flow run. Four queries; `tasks` may be passed if they are known."""
    tasks = summed_tasks(run.id) if tasks is None else tasks
    few = [task.key for task in tasks if sum(task.by_type.values()) <= RUNS_SHOWN_APART]
    lines = [*_single_lines(run.id, few, now), *(_sum_line(task, now) for task in tasks if task.key not in set(few))]
    lines.sort(key=lambda line: line.begin)
    begin = run.start_time or min((line.begin for line in lines), default=run.expected_start_time or run.created)
    is_over = run.state_type in TERMINAL
    end = (run.end_time or run.state_timestamp if is_over else now) or now
    last = max((line.spans[-1].end for line in lines), default=end)
    waited = (run.start_time or now) - (run.expected_start_time or run.created)
    return Timeline(
        begin,
        max(end, last, begin),
        lines[:TASKS_SHOWN],
        max(waited, timedelta()),
        max(0, len(lines) - TASKS_SHOWN),
        frozenset(critical_path([_step(line) for line in lines])),
    )


def attempts_of(run: FlowRun) -> list[datetime]:
    """Return the start of each attempt of a flow run; an empty list if there was only one."""
    if run.attempts < 2:
        return []
    states = FlowRunState.objects.filter(STARTS_OR_CONTINUES, flow_run=run.pk).order_by("seq")
    return starts_of_attempts(states.values_list("type", "timestamp")[:STATES_READ])[:ATTEMPTS_SHOWN]


def starts_of_attempts(states: Iterable[tuple[str, datetime]]) -> list[datetime]:
    """Return the start of each attempt from the states that `STARTS_OR_CONTINUES` selects, oldest first.

    Resuming after a pause does not start an attempt.
    """
    found, before = [], ""
    for state_type, at in states:
        if state_type == StateType.RUNNING and before != StateType.PAUSED:
            found.append(at)
        before = state_type
    return found


def within(timeline: Timeline, begin: datetime, end: datetime | None) -> Timeline:
    """Return the part of a timeline between two times, such as one attempt."""
    until = min(end or timeline.end, timeline.end)
    lines = [
        replace(line, spans=spans)
        for line in timeline.lines
        if (spans := [_cut(span, begin, until) for span in line.spans if span.begin < until and span.end >= begin])
    ]
    last = max((line.spans[-1].end for line in lines), default=until)
    return replace(timeline, begin=begin, end=max(last if end else until, begin), lines=lines)


def _cut(span: Span, begin: datetime, end: datetime) -> Span:
    return replace(span, begin=max(span.begin, begin), end=min(span.end, end))


def _step(line: Line) -> Step:
    inputs = vars(line.run)["inputs"] if line.run else None
    upstream = [str(one) for one in upstream_ids(inputs)] if inputs else []
    return Step(line.subject, line.begin, line.spans[-1].end, upstream)


def summed_tasks(run_id: UUID) -> list[SummedTask]:
    rows = (
        TaskRun.objects.filter(flow_run=run_id)
        .order_by()
        .values("task_key", "state_type")
        .annotate(
            number=Count("id"),
            name=Min("name"),
            began=Min(Coalesce("start_time", "expected_start_time", "created")),
            ended=Max("end_time"),
            shortest=Min("total_run_time"),
            longest=Max("total_run_time"),
        )
    )
    tasks: dict[str, SummedTask] = {}
    for row in rows:
        task = tasks.setdefault(row["task_key"], SummedTask(row["task_key"]))
        task.name = task.name or row["name"].rsplit("-", 1)[0]
        task.by_type[row["state_type"] or ""] = row["number"]
        task.begin = _least(task.begin, row["began"])
        task.end = _most(task.end, row["ended"])
        task.shortest, task.longest = _least(task.shortest, row["shortest"]), _most(task.longest, row["longest"])
    return list(tasks.values())


def _least(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else min(one, other)


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)


def _sum_line(task: SummedTask, now: datetime) -> Line:
    begin = task.begin or now
    is_open = any(state_type not in TERMINAL for state_type in task.by_type)
    end = now if is_open or task.end is None else task.end
    worst = next((one for one in WORST_FIRST if one in task.by_type), StateType.COMPLETED.value)
    span = Span("work", begin, max(begin, end), worst)
    duration = span.end - span.begin
    return Line(
        task.name, [span], task.by_type, duration, task_key=task.key, shortest=task.shortest, longest=task.longest
    )


# The order in which a row of several runs shows their states; those without a state, before completed ones.
WORST_FIRST = ("FAILED", "CRASHED", "CANCELLED", "CANCELLING", "RUNNING", "PAUSED", "PENDING", "SCHEDULED", "")


def _single_lines(run_id: UUID, keys: Sequence[str], now: datetime) -> list[Line]:
    if not keys:
        return []
    child = FlowRun.objects.filter(parent_task_run=OuterRef("pk"))
    runs = list(
        TaskRun.objects.filter(flow_run=run_id, task_key__in=keys[:TASKS_SHOWN])
        .only("id", "name", "state_name", "run_count", *TIMES, *FOLDED)
        .annotate(inputs_bytes=Bytes(F("task_inputs")))
        .annotate(inputs=Case(When(inputs_bytes__lte=LARGEST_INPUTS, then=F("task_inputs"))))
        .annotate(child=Subquery(child.values("pk")[:1]), child_name=Subquery(child.values("name")[:1]))
        .order_by("created")[: TASKS_SHOWN * RUNS_SHOWN_APART]
    )
    inside = {one.id: FlowRun(id=one.child, name=one.child_name) for one in runs if one.child}
    history = passages_of_task_runs(runs, STATES_READ)
    return [
        Line(
            one.name,
            _spans(one, history[one.id], now),
            {one.state_type or "": 1},
            one.total_run_time if one.state_type in TERMINAL else now - (one.start_time or now),
            one,
            inside.get(one.id),
        )
        for one in runs
    ]


def _spans(run: TaskRun, history: Sequence[tuple[str, datetime]], now: datetime) -> list[Span]:
    """Divide the time of a task run into waiting for its start, working, and resting between two attempts."""
    due = run.expected_start_time or run.created
    if run.start_time is None:
        end = run.state_timestamp if run.state_type in TERMINAL else now
        return [Span("wait", due, max(due, end or now), run.state_type or "")]
    spans = [Span("wait", due, run.start_time)] if run.start_time > due else []
    end_of_run = (run.end_time or run.state_timestamp or now) if run.state_type in TERMINAL else now
    for place, (kind, at) in enumerate(history):
        following = history[place + 1] if place + 1 < len(history) else None
        until = max(at, following[1] if following else end_of_run)
        if kind == StateType.RUNNING:
            ended_as = following[0] if following else run.state_type or ""
            is_resumed = place > 0 and history[place - 1][0] == StateType.PAUSED
            # A failure that is retried is stored only as the wait for the next attempt.
            spans.append(Span("work", at, until, "FAILED" if ended_as == StateType.SCHEDULED else ended_as, is_resumed))
        elif kind == StateType.SCHEDULED and spans and spans[-1].kind == "work":
            spans.append(Span("rest", at, until))
    if not any(span.kind == "work" for span in spans):
        spans.append(Span("work", run.start_time, max(run.start_time, end_of_run), run.state_type or ""))
    return spans
