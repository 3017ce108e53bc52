"""The timeline of a flow run: its task runs by task; for a task with few runs, with each attempt.

A task that was mapped over 10,000 inputs is one row. The rows of a subflow that the user
opened stand below the row of its task run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from uuid import UUID

from django.db.models import Case, F, OuterRef, Q, Subquery, When

from orchestration.large import Bytes
from orionflow.contract.states import BETWEEN_ATTEMPTS, TERMINAL, StateType
from runs.graphs.selectors import upstream_ids
from runs.models import FlowRun, FlowRunState, TaskRun
from runs.pages.selectors.task_sums import SummedTask, TaskSums, summed_tasks
from runs.states.selectors import FOLDED, passages_of_task_runs
from runs.time_spent.core.critical import Step, critical_path

# A task with more runs than this is one row; at most TASKS_SHOWN tasks are shown.
RUNS_SHOWN_APART = 5
TASKS_SHOWN = 200
STATES_READ = 2000
ATTEMPTS_SHOWN = 100
# Subflows that may be open at once, how deep, the most rows of one, and the rows that all of them share.
MOST_OPEN, DEEPEST, ROWS_OF_ONE, ROWS_INSIDE = 20, 4, 50, 300
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
    has_started: bool = True
    # Whether the task has more runs, which were not read.
    is_cut: bool = False
    # The subflow run that the row belongs to, and how deep that is nested; None and 0 for the run of the page.
    of: UUID | None = None
    depth: int = 0
    # Whether the rows of its subflow follow, how many there are, and how many are left out.
    is_open: bool = False
    inside: int = 0
    left_out: int = 0

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
class Inside:
    """The rows of an opened subflow, and how many more it has."""

    lines: Sequence[Line]
    left_out: int


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
    # Whether there are more task runs than were read.
    is_cut: bool = False

    @property
    def opened(self) -> list[UUID]:
        """The subflow runs whose rows are shown."""
        return [line.subflow.id for line in self.lines if line.subflow and line.is_open]


def timeline_of(*, run: FlowRun, now: datetime, sums: TaskSums | None = None) -> Timeline:
    """Return the timeline of a flow run. Four queries.

    `sums` may be passed if it is known; with tasks of opened subflows, their rows are shown.
    """
    is_over = run.state_type in TERMINAL
    end = (run.end_time or run.state_timestamp if is_over else now) or now
    # What a run left open when it ended takes no more time.
    now = min(now, end)
    sums = summed_tasks(run.id) if sums is None else sums
    opened = {one: tasks for one, tasks in sums.of.items() if one != run.id}
    shown = {run.id: sums.of[run.id]} | _first_tasks(opened, now)
    few = {one: [task.key for task in tasks if task.number <= RUNS_SHOWN_APART] for one, tasks in shown.items()}
    lines_of = _single_lines(run.id, few, now)
    for one, tasks in shown.items():
        lines_of[one] += [_sum_line(task, now) for task in tasks if task.number > RUNS_SHOWN_APART]
        lines_of[one].sort(key=lambda line: line.begin)
    own = lines_of[run.id]
    inside = {one: Inside(lines_of[one], _rows_of(tasks) - _rows_of(shown[one])) for one, tasks in opened.items()}
    lines = list(_with_inside(own[:TASKS_SHOWN], inside))
    begin = run.start_time or min((line.begin for line in own), default=run.expected_start_time or run.created)
    last = max((line.spans[-1].end for line in [*own, *lines]), default=end)
    waited = (run.start_time or now) - (run.expected_start_time or run.created)
    return Timeline(
        begin,
        max(end, last, begin),
        lines,
        max(waited, timedelta()),
        max(0, len(own) - TASKS_SHOWN),
        frozenset(critical_path([_step(line) for line in own if not is_over or _took_part(line)])),
        is_cut=sums.is_cut,
    )


def _first_tasks(opened: Mapping[UUID, Sequence[SummedTask]], now: datetime) -> dict[UUID, list[SummedTask]]:
    """Return the first tasks of each opened subflow, as many as have room."""
    room = min(ROWS_OF_ONE, ROWS_INSIDE // max(1, len(opened)))
    shown: dict[UUID, list[SummedTask]] = {}
    for one, tasks in opened.items():
        by_begin = sorted(tasks, key=lambda task: task.begin or now)
        reached = accumulate(_rows_of([task]) for task in by_begin)
        shown[one] = [task for task, rows in zip(by_begin, reached, strict=True) if rows <= room]
    return shown


def _rows_of(tasks: Iterable[SummedTask]) -> int:
    return sum(task.number if task.number <= RUNS_SHOWN_APART else 1 for task in tasks)


def _with_inside(
    lines: Iterable[Line], inside: Mapping[UUID, Inside], of: UUID | None = None, depth: int = 0
) -> Iterator[Line]:
    """Yield the rows, and below the row of an opened subflow those of it."""
    for line in lines:
        found = inside.get(line.subflow.id) if line.subflow and depth < DEEPEST else None
        if line.subflow is None or found is None:
            yield replace(line, of=of, depth=depth) if of else line
            continue
        shown = len(found.lines)
        yield replace(line, of=of, depth=depth, is_open=True, inside=shown, left_out=found.left_out)
        yield from _with_inside(found.lines, inside, line.subflow.id, depth + 1)


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


def _took_part(line: Line) -> bool:
    """Return whether the end of the run can have waited for this: it started, or was completed by a cached result."""
    return line.has_started or StateType.COMPLETED in line.by_type


def _step(line: Line) -> Step:
    inputs = vars(line.run)["inputs"] if line.run else None
    upstream = [str(one) for one in upstream_ids(inputs)] if inputs else []
    return Step(line.subject, line.begin, line.spans[-1].end, upstream)


def _sum_line(task: SummedTask, now: datetime) -> Line:
    begin = task.begin or now
    is_open = any(state_type not in TERMINAL for state_type in task.by_type)
    end = now if is_open or task.end is None else task.end
    worst = next((one for one in WORST_FIRST if one in task.by_type), StateType.COMPLETED.value)
    span = Span("work", begin, max(begin, end), worst)
    duration = span.end - span.begin
    return Line(
        task.name,
        [span],
        task.by_type,
        duration,
        task_key=task.key,
        shortest=task.shortest,
        longest=task.longest,
        has_started=task.has_started,
        is_cut=task.is_cut,
    )


# The order in which a row of several runs shows their states; those without a state, before completed ones.
WORST_FIRST = ("FAILED", "CRASHED", "CANCELLED", "CANCELLING", "RUNNING", "PAUSED", "PENDING", "SCHEDULED", "")


def _single_lines(run_id: UUID, keys: Mapping[UUID, Sequence[str]], now: datetime) -> dict[UUID, list[Line]]:
    """Return a row for each run of the tasks with these keys, by flow run. At most two queries."""
    lines: dict[UUID, list[Line]] = {one: [] for one in keys}
    wanted = Q()
    for one, some in keys.items():
        wanted |= Q(flow_run=one, task_key__in=some[:TASKS_SHOWN]) if some else Q()
    if not wanted:
        return lines
    child = FlowRun.objects.filter(parent_task_run=OuterRef("pk"))
    runs = list(
        TaskRun.objects.filter(wanted)
        .only("id", "flow_run_id", "name", "state_name", "run_count", *TIMES, *FOLDED)
        .annotate(inputs_bytes=Bytes(F("task_inputs")))
        # Only the run of the page has a critical path.
        .annotate(inputs=Case(When(flow_run=run_id, inputs_bytes__lte=LARGEST_INPUTS, then=F("task_inputs"))))
        .annotate(child=Subquery(child.values("pk")[:1]), child_name=Subquery(child.values("name")[:1]))
        .order_by("created")[: TASKS_SHOWN * RUNS_SHOWN_APART + ROWS_INSIDE]
    )
    subflows = {one.id: FlowRun(id=one.child, name=one.child_name) for one in runs if one.child}
    history = passages_of_task_runs(runs, STATES_READ)
    for one in runs:
        line = Line(
            one.name,
            _spans(one, history[one.id], now),
            {one.state_type or "": 1},
            one.total_run_time if one.state_type in TERMINAL else max(now - (one.start_time or now), timedelta()),
            one,
            subflows.get(one.id),
            has_started=one.start_time is not None,
        )
        lines[one.flow_run_id].append(line)
    return lines


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
