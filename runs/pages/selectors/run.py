"""A flow run's page and a task run's page: their facts, and one function for each of their tabs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from deployments.models import Deployment
from orchestration.core.states import TERMINAL
from runs.comparing.core.compared import Difference
from runs.comparing.selectors import COMPARED, since_last_good
from runs.models import Artifact, FlowRun, FlowRunState, StateRow, TaskRun, TaskRunState
from runs.pages.selectors.keyset import Count, Cursor, Page, page_of
from runs.pages.selectors.retries import HAS_RETRIES
from runs.pages.selectors.runs import rows_of_runs, told_reasons
from runs.pages.selectors.timeline import (
    ATTEMPTS_SHOWN,
    BEGINS_OR_GOES_ON,
    SummedTask,
    attempts_of,
    starts_of_attempts,
    summed_tasks,
)
from runs.problems.selectors import PROBLEM_ID, ProblemOfRun, problem_of
from runs.states.selectors import current_task_run_state, newest_states_of_task_run
from runs.why.selectors.blockers import Reason
from runs.why.selectors.cache import cache_reasons
from runs.why.selectors.cause import Cause, SameError, cause_of, last_good, same_error
from runs.why.selectors.why import flow_run_reasons, task_run_reasons

TASKS_PER_PAGE = 100
STATES_SHOWN = 50
ARTIFACTS_SHOWN = 50
# The bar of a run with more tasks than this is drawn from so many of them.
TASKS_COUNTED = 10_000
# Details of states that name the run itself, or serve its client.
UNTOLD_DETAILS = frozenset({"flow_run_id", "task_run_id", "transition_id"})
# How a claim signs the state that it writes.
AGENT = "agent "


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of a run's task runs are in which state, and the keys of its tasks."""

    by_type: dict[str, int]
    total: Count
    task_keys: list[str]
    # The tasks summed up, where the timeline shows them.
    tasks: Sequence[SummedTask] | None = None

    @property
    def finished(self) -> Count:
        return Count(sum(self.by_type.get(name, 0) for name in TERMINAL))


NO_PROGRESS = Progress({}, Count(0), [])


@dataclass(frozen=True, slots=True)
class Passage:
    """A state that a run was in, how long it stayed there (None: it still is), and what else was recorded with it."""

    state: StateRow
    lasted: timedelta | None
    details: Mapping[str, Any]

    @property
    def author(self) -> str:
        return self.state.author or "the run itself"


@dataclass(frozen=True, slots=True)
class History:
    """The newest states of a run, newest first. `older` counts those that are not among them."""

    states: Sequence[Passage]
    older: int


# Who took a flow run last, beside its row.
_TAKEN_BY = Subquery(
    FlowRunState.objects.filter(flow_run=OuterRef("pk"), type="PENDING", author__startswith=AGENT)
    .order_by("-seq")
    .values("author")[:1]
)


def flow_run_facts(*, run_id: UUID) -> FlowRun | None:
    deployment = Deployment.objects.filter(pk=OuterRef("deployment_id")).order_by().values("name")
    runs = FlowRun.objects.select_related("flow", "parent_task_run__flow_run__flow").annotate(
        problem_id=PROBLEM_ID, taken_by=_TAKEN_BY, deployment_name=Subquery(deployment[:1]), was_retried=HAS_RETRIES
    )
    run: FlowRun | None = runs.filter(pk=run_id).first()
    return run


def task_run_facts(*, run_id: UUID) -> TaskRun | None:
    return TaskRun.objects.select_related("flow_run__flow").filter(pk=run_id).first()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a deployed run comes from, and who took it last; no deployment where it was deleted."""

    deployment: str = ""
    agent: str = ""


def origin_of(run: FlowRun) -> Origin:
    """Read what `flow_run_facts` found beside a run's row."""
    found = vars(run)
    return Origin(found["deployment_name"] or "", (found["taken_by"] or "").removeprefix(AGENT))


def defaults_of(run: FlowRun) -> dict[str, Any]:
    """The parameters of a deployed run that its code fills in itself."""
    if run.deployment_id is None:
        return {}
    schemas = Deployment.objects.filter(pk=run.deployment_id).values_list("parameter_openapi_schema", flat=True)
    return _defaults(schemas.first() or {}, run.parameters)


def _defaults(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    known = properties.items() if isinstance(properties, dict) else ()
    return {
        name: one["default"] for name, one in known if isinstance(one, dict) and "default" in one and name not in given
    }


@dataclass(frozen=True, slots=True)
class Why:
    """The explanation of a run: its state's own words, what keeps it from moving, and the rules that led here."""

    message: str
    reasons: Sequence[Reason]
    trail: list[list[str]]

    @property
    def is_told(self) -> bool:
        """Whether there is anything to say: that rules let a run pass is no news."""
        return bool(self.message or self.reasons or any(verdict != "accept" for _, verdict, _ in self.trail))


def read_states(run: FlowRun) -> tuple[FlowRunState | None, list[datetime]]:
    """The state that a run is in, without its data, and of several attempts when each began. One query, rarely two."""
    # Not what was written since the run was read.
    wanted = Q(seq=run.seq) | (BEGINS_OR_GOES_ON & Q(seq__lt=run.seq)) if run.attempts > 1 else Q(seq=run.seq)
    rows = FlowRunState.objects.filter(wanted, flow_run=run.id).defer("data").order_by("-seq")
    newest = list(rows[: ATTEMPTS_SHOWN + 1])
    state = newest[0] if newest and newest[0].seq == run.seq else None
    if len(newest) > ATTEMPTS_SHOWN:
        return state, attempts_of(run)
    return state, starts_of_attempts((one.type, one.timestamp) for one in reversed(newest)) if run.attempts > 1 else []


def why_flow_run(*, run: FlowRun, state: FlowRunState | None, now: datetime) -> Why:
    return _why(run, state, lambda: flow_run_reasons(run, state, now))


def why_task_run(*, run: TaskRun, now: datetime) -> Why:
    state = current_task_run_state(run)
    why = _why(run, state, lambda: task_run_reasons(run, state, now))
    # A finished run waits for nothing, and still has taken a stored result or not.
    return why if why.reasons else replace(why, reasons=list(cache_reasons(run, state, now)))


def _why(run: FlowRun | TaskRun, state: StateRow | None, reasons: Callable[[], Iterable[Reason]]) -> Why:
    # A finished run waits for nothing; its last state says how it ended.
    waits = [] if run.state_type in TERMINAL else list(reasons())
    message = (state.message if state else None) or ""
    # The state of a late run says since when it is late, and so does the reason, up to now.
    return Why("" if any(one.code == "late" for one in waits) else message, waits, state.trail if state else [])


def progress_of(*, run_id: UUID) -> Progress:
    runs = TaskRun.objects.filter(flow_run=run_id).order_by().values_list("state_type", "task_key")
    counted: Counter[str] = Counter()
    keys: dict[str, None] = {}
    for state_type, task_key in runs[: TASKS_COUNTED + 1]:
        counted[state_type or ""] += 1
        keys[task_key] = None
    total = counted.total()
    return Progress(dict(counted), Count(min(total, TASKS_COUNTED), capped=total > TASKS_COUNTED), list(keys))


def progress_with_tasks(*, run_id: UUID) -> Progress:
    """The progress of a run whose timeline is shown, which sums its tasks up anyway."""
    tasks = summed_tasks(run_id)
    counted: Counter[str] = Counter()
    for task in tasks:
        counted.update(task.by_type)
    return Progress(dict(counted), Count(counted.total()), [task.key for task in tasks], tasks)


@dataclass(frozen=True, slots=True)
class Failure:
    """The cause of a failed flow run, whether others did the same, when it last went well, and what differs since."""

    cause: Cause
    problem: ProblemOfRun | None
    same: SameError | None
    last_good: FlowRun | None
    since: Sequence[Difference] = ()


def failure_of(*, run: FlowRun, message: str, now: datetime) -> Failure | None:
    cause = cause_of(run, message)
    if cause is None:
        return None
    problem = problem_of(run)
    good = last_good(run, *COMPARED)
    return Failure(
        cause,
        problem,
        # Before there were problems, others with the same words were all that was known.
        None if problem else same_error(run, message, now),
        good,
        since_last_good(run=run, good=good) if good else (),
    )


def task_runs_of(
    *, run_id: UUID, state: str, task_key: str, after: Cursor | None
) -> tuple[Page[TaskRun], dict[str, str]]:
    """A page of task runs, newest first, and what their states say of themselves by id."""
    # Ordered by an expression: by the bare column, PostgreSQL may walk the index of all task runs to find these.
    place = Coalesce("expected_start_time", "created")
    runs = TaskRun.objects.filter(flow_run=run_id).annotate(place=place).defer("task_inputs")
    if state:
        runs = runs.filter(state_type=state)
    if task_key:
        runs = runs.filter(task_key=task_key)
    page = cast("Page[TaskRun]", page_of(runs, by="place", after=after, size=TASKS_PER_PAGE))
    return page, reasons_of_tasks(page.rows)


def reasons_of_tasks(runs: Iterable[TaskRun]) -> dict[str, str]:
    """Return by id what the states of task runs say of themselves, where that is more than a word. One query."""
    shown = [run for run in runs if run.state_type not in {"COMPLETED", "RUNNING"} or run.state_name == "Cached"]
    states = TaskRunState.objects.filter(pk__in=[run.state_id for run in shown])
    messages: dict[UUID | None, str | None] = dict(states.values_list("id", "message"))
    return {str(run.id): messages.get(run.state_id) or (run.refusal or {}).get("reason") or "" for run in shown}


def child_flow_runs_of(*, run_id: UUID, after: Cursor | None) -> tuple[Page[FlowRun], dict[str, str]]:
    runs = rows_of_runs(FlowRun.objects.filter(parent_task_run__flow_run=run_id, expected_start_time__isnull=False))
    page = page_of(runs, by="expected_start_time", after=after, size=TASKS_PER_PAGE)
    return page, told_reasons(page.rows)


def child_flow_run_of_task(*, task_run_id: UUID) -> FlowRun | None:
    return rows_of_runs(FlowRun.objects.filter(parent_task_run=task_run_id)).first()


def flow_run_history(*, run_id: UUID, states: int) -> History:
    rows = FlowRunState.objects.filter(flow_run=run_id).defer("data").order_by("-seq")
    return _history(list(rows[:STATES_SHOWN]), states)


def task_run_history(run: TaskRun) -> History:
    return _history(newest_states_of_task_run(run, STATES_SHOWN), run.seq)


def _history(newest: Sequence[StateRow], states: int) -> History:
    # `seq` counts a run's states, so the number of older ones is known without counting.
    until: list[datetime | None] = [None, *(state.timestamp for state in newest)]
    passages = [
        Passage(state, end - state.timestamp if end else None, _said_in(state))
        for state, end in zip(newest, until, strict=False)
    ]
    return History(passages, max(0, states - len(newest)))


def _said_in(state: StateRow) -> dict[str, Any]:
    said = {name.replace("_", " "): value for name, value in state.details.items() if name not in UNTOLD_DETAILS}
    return said | ({"its own clock said": state.client_timestamp.isoformat()} if state.client_timestamp else {})


def artifacts_of(*, run_id: UUID) -> Sequence[Artifact]:
    """Return the artifacts of the run and its tasks. Stored results are left out: they have no reader here."""
    mine = Q(flow_run_id=run_id) | Q(task_run_id=run_id)
    return list(Artifact.objects.filter(mine).exclude(type="result").order_by("-created")[:ARTIFACTS_SHOWN])
