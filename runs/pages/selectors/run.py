"""The data of the pages of a flow run and of a task run: the head, and one function for each tab."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Substr

from deployments.models import Deployment, Worker
from orchestration.compiled import Compiled
from orchestration.core.states import TERMINAL
from orionflow.contract.states import CACHED
from runs.comparing.core.compared import Difference
from runs.comparing.selectors import COMPARED, since_last_good
from runs.models import Artifact, FlowRun, FlowRunState, StateRow, TaskRun, TaskRunState
from runs.pages.selectors.keyset import Count, Cursor, Page, page_of
from runs.pages.selectors.retries import HAS_RETRIES
from runs.pages.selectors.runs import rows_of_runs, state_reasons
from runs.pages.selectors.task_sums import TaskSums, summed_tasks
from runs.pages.selectors.timeline import (
    ATTEMPTS_SHOWN,
    STARTS_OR_CONTINUES,
    attempts_of,
    starts_of_attempts,
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
# For a run with more task runs, the bar shows the states of this many.
TASKS_COUNTED = 10_000
# Details of states that repeat the run's own id or serve only its client.
HIDDEN_DETAILS = frozenset({"flow_run_id", "task_run_id", "transition_id"})
# The author of states that are written when an agent claims a run starts with this.
AGENT = "agent "


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of a run's task runs in each state, and the keys of its tasks."""

    by_type: dict[str, int]
    total: Count
    task_keys: list[str]
    # The summed tasks of the run and of the subflows that are open in it, if the timeline shows them.
    sums: TaskSums | None = None

    @property
    def finished(self) -> Count:
        return Count(sum(self.by_type.get(name, 0) for name in TERMINAL))


NO_PROGRESS = Progress({}, Count(0), [])


@dataclass(frozen=True, slots=True)
class Passage:
    """A state that a run was in, how long it stayed there (None: it still is), and the state's details."""

    state: StateRow
    lasted: timedelta | None
    details: Mapping[str, Any]

    @property
    def author(self) -> str:
        return self.state.author or "the run itself"


@dataclass(frozen=True, slots=True)
class History:
    """The newest states of a run, newest first. `older` is the number of the other states."""

    states: Sequence[Passage]
    older: int


# Annotates a flow run with the author who claimed it last.
_TAKEN_BY = Subquery(
    FlowRunState.objects.filter(flow_run=OuterRef("pk"), type="PENDING", author__startswith=AGENT)
    .order_by("-seq")
    .values("author")[:1]
)


# The agent of that name in the pool of the run's queue, by the unique index of both.
_AGENT = Worker.objects.filter(
    work_pool__queues=OuterRef("work_queue_id"), name=Substr(OuterRef("taken_by"), len(AGENT) + 1)
).order_by()


def _facts_of(run_id: UUID, **added: Any) -> QuerySet[FlowRun]:
    deployment = Deployment.objects.filter(pk=OuterRef("deployment_id")).order_by().values("name")
    runs = FlowRun.objects.select_related("flow", "parent_task_run__flow_run__flow").annotate(
        problem_id=PROBLEM_ID, taken_by=_TAKEN_BY, deployment_name=Subquery(deployment[:1]), was_retried=HAS_RETRIES
    )
    runs = runs.annotate(
        agent_id=Subquery(_AGENT.values("pk")[:1]), heartbeat=Subquery(_AGENT.values("last_heartbeat")[:1]), **added
    )
    found: QuerySet[FlowRun] = runs.filter(pk=run_id)
    return found


# Open pages ask for it again and again, without annotations.
_facts: Compiled[FlowRun] = Compiled(_facts_of)


def flow_run_facts(*, run_id: UUID, **added: Any) -> FlowRun | None:
    """Return what the head of the page shows of a run; `added` are further annotations. One query."""
    found = _facts_of(run_id, **added) if added else _facts(run_id)
    return next(iter(found), None)


def task_run_facts(*, run_id: UUID) -> TaskRun | None:
    return TaskRun.objects.select_related("flow_run__flow").filter(pk=run_id).first()


@dataclass(frozen=True, slots=True)
class Origin:
    """The deployment of a run, and the agent that claimed it last; no deployment or id of an agent if it is gone."""

    deployment: str = ""
    agent: str = ""
    agent_id: UUID | None = None
    heartbeat: datetime | None = None


def origin_of(run: FlowRun) -> Origin:
    """Return the origin of a run from `flow_run_facts`."""
    found = vars(run)
    agent = (found["taken_by"] or "").removeprefix(AGENT)
    return Origin(found["deployment_name"] or "", agent, found["agent_id"], found["heartbeat"])


def defaults_of(run: FlowRun) -> dict[str, Any]:
    """Return the parameters of a deployed run that take the default of its code."""
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
    """The explanation of a run: the message of its state, the reasons why it waits, and the rules that were applied."""

    message: str
    reasons: Sequence[Reason]
    trail: list[list[str]]

    @property
    def has_content(self) -> bool:
        """Whether there is anything to show: rules that accepted a transition are not worth showing."""
        return bool(self.message or self.reasons or any(verdict != "accept" for _, verdict, _ in self.trail))


def read_states(run: FlowRun) -> tuple[FlowRunState | None, list[datetime]]:
    """Return a run's state without its data, and the start of each attempt if there are several. One or two queries."""
    # Read the state that the run's row has, even if another was written since.
    wanted = Q(seq=run.seq) | (STARTS_OR_CONTINUES & Q(seq__lt=run.seq)) if run.attempts > 1 else Q(seq=run.seq)
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
    # A finished run waits for nothing, but it may have used a cached result or not.
    return why if why.reasons else replace(why, reasons=list(cache_reasons(run, state, now)))


def _why(run: FlowRun | TaskRun, state: StateRow | None, reasons: Callable[[], Iterable[Reason]]) -> Why:
    # A finished run waits for nothing; the message of its last state explains the outcome.
    waits = [] if run.state_type in TERMINAL else list(reasons())
    message = (state.message if state else None) or ""
    # Both the message and the reason of a late run say since when it is late; the reason is up to date.
    return Why("" if any(one.code == "late" for one in waits) else message, waits, state.trail if state else [])


def progress_of(*, run_id: UUID) -> Progress:
    runs = TaskRun.objects.filter(flow_run=run_id).order_by().values("state_type", "task_key")
    sql, values = runs[: TASKS_COUNTED + 1].query.sql_with_params()
    counted: Counter[str] = Counter()
    keys: set[str] = set()
    with connection.cursor() as cursor:
        # Grouped by the database, because 10,000 rows take longer in Python, and hold up other requests there.
        cursor.execute(
            f"SELECT state_type, task_key, COUNT(*) FROM ({sql}) AS counted GROUP BY state_type, task_key", values
        )
        for state_type, task_key, number in cursor.fetchall():
            counted[state_type or ""] += number
            keys.add(task_key)
    total = counted.total()
    return Progress(dict(counted), Count(min(total, TASKS_COUNTED), capped=total > TASKS_COUNTED), sorted(keys))


def progress_with_tasks(*, run_id: UUID, opened: Sequence[UUID]) -> Progress:
    """Return the progress of a run whose timeline is shown, from the tasks that the timeline sums up anyway."""
    sums = summed_tasks(run_id, opened)
    counted: Counter[str] = Counter()
    tasks = sums.of[run_id]
    for task in tasks:
        counted.update(task.by_type)
    is_cut = any(task.is_cut for task in tasks)
    return Progress(dict(counted), Count(counted.total(), capped=is_cut), [task.key for task in tasks], sums)


@dataclass(frozen=True, slots=True)
class Failure:
    """The cause of a failed flow run, other runs that failed alike, the last good run, and the differences since."""

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
        # For failures without a problem, search for other runs with the same message.
        None if problem else same_error(run, message, now),
        good,
        since_last_good(run=run, good=good) if good else (),
    )


def task_runs_of(
    *, run_id: UUID, state: str, task_key: str, after: Cursor | None
) -> tuple[Page[TaskRun], dict[str, str]]:
    """Return a page of task runs, newest first, and the messages of their states by run id."""
    # Order by an expression: for the plain column, PostgreSQL may scan the index of all task runs.
    place = Coalesce("expected_start_time", "created")
    runs = TaskRun.objects.filter(flow_run=run_id).annotate(place=place).defer("task_inputs")
    if state:
        runs = runs.filter(state_type=state)
    if task_key:
        runs = runs.filter(task_key=task_key)
    page = cast("Page[TaskRun]", page_of(runs, by="place", after=after, size=TASKS_PER_PAGE))
    return page, reasons_of_tasks(page.rows)


def reasons_of_tasks(runs: Iterable[TaskRun]) -> dict[str, str]:
    """Return the messages of task runs' states by run id, where they say more than the state. One query."""
    shown = [run for run in runs if run.state_type not in {"COMPLETED", "RUNNING"} or run.state_name == CACHED]
    states = TaskRunState.objects.filter(pk__in=[run.state_id for run in shown])
    messages: dict[UUID | None, str | None] = dict(states.values_list("id", "message"))
    return {str(run.id): messages.get(run.state_id) or (run.refusal or {}).get("reason") or "" for run in shown}


def child_flow_runs_of(*, run_id: UUID, after: Cursor | None) -> tuple[Page[FlowRun], dict[str, str]]:
    runs = rows_of_runs(FlowRun.objects.filter(parent_task_run__flow_run=run_id, expected_start_time__isnull=False))
    page = page_of(runs, by="expected_start_time", after=after, size=TASKS_PER_PAGE)
    return page, state_reasons(page.rows)


def child_flow_run_of_task(*, task_run_id: UUID) -> FlowRun | None:
    return rows_of_runs(FlowRun.objects.filter(parent_task_run=task_run_id)).first()


def flow_run_history(*, run_id: UUID, states: int) -> History:
    rows = FlowRunState.objects.filter(flow_run=run_id).defer("data").order_by("-seq")
    return _history(list(rows[:STATES_SHOWN]), states)


def task_run_history(run: TaskRun) -> History:
    return _history(newest_states_of_task_run(run, STATES_SHOWN), run.seq)


def _history(newest: Sequence[StateRow], states: int) -> History:
    # `seq` numbers a run's states, so the number of older ones is known without a query.
    until: list[datetime | None] = [None, *(state.timestamp for state in newest)]
    passages = [
        Passage(state, end - state.timestamp if end else None, _shown_details(state))
        for state, end in zip(newest, until, strict=False)
    ]
    return History(passages, max(0, states - len(newest)))


def _shown_details(state: StateRow) -> dict[str, Any]:
    details = {name.replace("_", " "): value for name, value in state.details.items() if name not in HIDDEN_DETAILS}
    return details | ({"its own clock said": state.client_timestamp.isoformat()} if state.client_timestamp else {})


def artifacts_of(*, run_id: UUID) -> Sequence[Artifact]:
    """Return the artifacts of the run and its tasks, except references to results, which have a tab of their own."""
    mine = Q(flow_run_id=run_id) | Q(task_run_id=run_id)
    return list(Artifact.objects.filter(mine).exclude(type="result").order_by("-created")[:ARTIFACTS_SHOWN])
