"""The records of a finished run and of its nested runs, as far as a retry from a task needs them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.db.models.fields.json import KT

from orchestration.core.states import ANY, StateType
from orchestration.sight import seeing
from orionflow.contract.states import CACHED, NOT_READY, in_order
from runs.errors import TooManyTaskRuns
from runs.graphs.selectors import MOST_TASK_RUNS, upstream_ids
from runs.models import FlowRun, FlowRunState, RunRetry, TaskRun, TaskRunState
from runs.retries.core import RENEWED, Call, Recorded
from runs.states.selectors import FOLDED, current_task_run_states

# Levels of nested runs that are read. A call that stands for a run nested more deeply runs again as a whole.
DEEPEST = 10
CALLS_PER_PAGE = 1_000
MOST_NESTED = 10_000
_COLUMNS = (
    "id", "flow_run_id", "task_key", "dynamic_key", "name", "state_id", "state_type", "state_name", "state_timestamp",
    "task_inputs", "end_time", "total_run_time", "flow_run_run_count", "flow_run__run_count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The attempts of one flow run: their number, and when the last one started."""

    number: int = 0
    last: datetime | None = None
    is_deployed: bool = False
    # The run that it is nested in.
    parent_id: UUID | None = None


class _Ended(NamedTuple):
    """The stored row of a current state: whether it has a reusable result, and which nested run it stands for."""

    has_result: bool = False
    # Whether it has a result, but the task changed its arguments, which reusing the result would not repeat.
    changed_inputs: bool = False
    expires: datetime | None = None
    child_id: UUID | None = None


def recorded_tree(run_id: UUID) -> dict[UUID, Recorded]:
    """Return the calls of a run and of the runs nested in its process, by flow run. Three queries for each level.

    Raises TooManyTaskRuns.
    """
    tree: dict[UUID, Recorded] = {}
    # A user who sees a run also sees the runs nested in it. Results may also come from the run that this one continues.
    with seeing(None):
        level, attempts, left = [run_id], _attempts_of([run_id]), MOST_TASK_RUNS
        for _ in range(DEEPEST):
            rows = list(_rows(level)[: left + 1])
            left -= len(rows)
            states = _states(level)
            children = {one.child_id for one in states.values() if one.child_id} - tree.keys() - set(level)
            if left < 0 or len(children) > MOST_NESTED:
                raise TooManyTaskRuns(most=MOST_TASK_RUNS)
            nested = _nested(children, run_id, level)
            unclaimed = set(nested)
            calls: dict[UUID, list[Call]] = defaultdict(list)
            for row in rows:
                run, state = attempts.get(row["flow_run_id"], _Attempts()), states.get(row["state_id"])
                if _is_of_last_attempt(row, run, state):
                    call = _call(row, run, state, nested, unclaimed)
                    unclaimed.discard(call.child_id)
                    calls[row["flow_run_id"]].append(call)
            for one in level:
                tree[one] = Recorded(_without_renewals(calls[one]), attempts.get(one, _Attempts()).number <= 1)
            level, attempts = [one for one, run in nested.items() if not run.is_deployed], nested
            if not level:
                break
    return tree


def _nested(children: set[UUID], root: UUID, level: Sequence[UUID]) -> dict[UUID, _Attempts]:
    """Return the attempts of those children that are nested in these runs or in a run that `root` continues.

    The process of a task run reports which run it stands for, and could name any run; so the parent is checked.
    """
    found = _attempts_of(children) if children else {}
    around = {run.parent_id for run in found.values() if run.parent_id is not None} - set(level)
    within = _within(around, {one.source_id for one in _with_those_before(root)}) if around else set()
    known = within.union(level)
    return {child: run for child, run in found.items() if run.parent_id in known}


def _rows(level: Sequence[UUID]) -> Any:
    refused = KT("refusal__at")
    # Ids ascend in the order in which the calls were made.
    return (
        TaskRun.objects.filter(flow_run__in=level)
        .order_by("id")
        .annotate(refused_at=refused)
        .values(*_COLUMNS, "refused_at")
    )


def _states(level: Sequence[UUID]) -> dict[UUID, _Ended]:
    """Return current states by id. Folded states are left out: they have no result, and stand for no nested run."""
    # A result that could not be stored may have been stored since, but the plan does not count on it.
    kept = Q(data__isnull=False, data__unstored__isnull=True)
    # Nor does it count on a result of a task that changed its arguments, unless the result came from the cache.
    alone = Q(data__inputs_changed__isnull=False) & ~Q(name=CACHED)
    usable, changed = (ExpressionWrapper(one, output_field=BooleanField()) for one in (kept & ~alone, kept & alone))
    current = TaskRunState.objects.filter(task_run__flow_run__in=level, pk=F("task_run__state_id")).order_by()
    return {
        pk: _Ended(has, without, _moment(details.get("cache_expiration")), _id(details.get("child_flow_run_id")))
        for pk, has, without, details in current.values_list("pk", usable, changed, "details")
    }


def _attempts_of(run_ids: Iterable[UUID]) -> dict[UUID, _Attempts]:
    """Return the attempts of these runs. An attempt starts when a run enters RUNNING, except after a pause."""
    found: dict[UUID, _Attempts] = {}
    before: dict[UUID, str] = {}
    states = FlowRunState.objects.filter(flow_run__in=list(run_ids)).order_by("flow_run", "seq")
    columns = ("flow_run_id", "flow_run__deployment_id", "flow_run__parent_task_run__flow_run_id", "type", "timestamp")
    for run_id, deployment_id, parent_id, kind, at in states.values_list(*columns):
        known = found.setdefault(run_id, _Attempts(is_deployed=deployment_id is not None, parent_id=parent_id))
        if kind == "RUNNING" and before.get(run_id) != "PAUSED":
            found[run_id] = replace(known, number=known.number + 1, last=at)
        before[run_id] = kind
    return found


def _is_of_last_attempt(row: Mapping[str, Any], run: _Attempts, state: _Ended | None) -> bool:
    """Whether this call belongs to the last attempt: it ran then, or the rules refused to run it again."""
    if run.number <= 1 or run.last is None or row["flow_run_run_count"] >= row["flow_run__run_count"]:
        return True
    if state is not None and state.child_id is not None and row["state_type"] == "COMPLETED":
        # When a nested run is reused, no record of the last attempt says so.
        return True
    refused_at = _moment(row["refused_at"])
    return (refused_at is not None and refused_at >= run.last) or (row["state_timestamp"] or run.last) >= run.last


def _call(
    row: Mapping[str, Any], run: _Attempts, state: _Ended | None, nested: Mapping[UUID, _Attempts], unclaimed: set[UUID]
) -> Call:
    has_result, changed_inputs, expires, named = state or _Ended()
    # Two calls cannot stand for the same run.
    child_id = named if named in unclaimed else None
    lasted, end = row["total_run_time"], row["end_time"]
    if run.number > 1 and run.last is not None and end is not None:
        # The stored time is the total of all attempts.
        lasted = max(min(lasted, end - run.last), timedelta())
    return Call(
        id=row["id"],
        flow_run_id=row["flow_run_id"],
        key=row["task_key"],
        dynamic_key=row["dynamic_key"],
        name=row["name"],
        state_id=row["state_id"],
        state_type=row["state_type"],
        has_result=has_result,
        changed_inputs=changed_inputs,
        upstream=upstream_ids(row["task_inputs"]) if row["task_inputs"] else (),
        expires=expires,
        child_id=child_id,
        is_deployed=child_id is not None and nested[child_id].is_deployed,
        is_childless=named is not None and child_id is None,
        has_begun=row["state_name"] != NOT_READY,
        ended_itself=named is None and row["state_name"] != CACHED,
        end=end,
        lasted=lasted,
    )


def _without_renewals(calls: list[Call]) -> list[Call]:
    """Drop the calls that ran again under another key: the next attempt asks for a call by its original key."""
    by_key = {(call.key, call.dynamic_key): call for call in calls}
    base_of: dict[UUID, UUID] = {}
    for call in calls:
        match = RENEWED.match(call.dynamic_key)
        if match and (base := by_key.get((call.key, match["key"]))) is not None:
            base_of[call.id] = base.id
    if not base_of:
        return calls
    renewed = set(base_of.values())
    return [
        replace(call, was_renewed=call.id in renewed, upstream=[base_of.get(one, one) for one in call.upstream])
        for call in calls
        if call.id not in base_of
    ]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _id(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def runs_with_task(run_ids: Sequence[UUID], wanted: str | None) -> set[UUID]:
    """Return the runs that called a task of this name, themselves or in a nested run. Two queries.

    Without a name, return those that called a task that did not complete.
    """
    if wanted is None:
        named = Q(state_type__in=in_order(ANY - {StateType.COMPLETED}))
    else:
        named = Q(name=wanted) | Q(name__startswith=f"{wanted}-") | Q(task_key=wanted)
        named |= Q(task_key__startswith=f"{wanted}-") | Q(task_key__contains=f".{wanted}-")
    with seeing(None):
        found = TaskRun.objects.filter(named).order_by()
        own = found.filter(flow_run__in=run_ids).values_list("flow_run", flat=True)
        above = "flow_run__parent_task_run__flow_run"
        nested = found.filter(**{f"{above}__in": run_ids}).values_list(above, flat=True)
        return {*own.distinct(), *nested.distinct()}


MOST_RETRIES = 100


def retries_of(run_id: UUID) -> list[RunRetry]:
    """Return the retries of this run, and those by which other runs continue it, newest first."""
    # Two queries: with OR, the database would read the whole table.
    newest = RunRetry.objects.defer("again", "entered").order_by("-created")
    own = newest.filter(flow_run=run_id)[:MOST_RETRIES]
    others = newest.filter(source_id=run_id).exclude(flow_run=run_id)[:MOST_RETRIES]
    return sorted([*own, *others], key=lambda retry: retry.created, reverse=True)


# --- questions of the engine ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordedCalls:
    """The states that a run does not reuse, those that it reuses in part, and a page of another run's calls."""

    again: Sequence[UUID]
    entered: Sequence[UUID]
    source_id: UUID | None
    calls: Sequence[tuple[TaskRun, TaskRunState | None]]
    after: UUID | None


def recorded_for(*, run_id: UUID, source_id: UUID | None, after: UUID | None) -> RecordedCalls | None:
    """Return the recorded calls that a run may reuse; None if `source_id` is not a run that it may read.

    The source is the run that it continues, or one nested in either.
    """
    with seeing(None):
        retries = _with_those_before(run_id)
        above = {run_id} | {one.source_id for one in retries} | {one.flow_run_id for one in retries}
        source = source_id or next(
            (one.source_id for one in retries if one.flow_run_id == run_id and one.is_new_run), None
        )
        if source_id is not None and not _within({source_id}, above):
            return None
        calls = _calls_of(source, after) if source is not None else []
    is_first = source_id is None and after is None
    return RecordedCalls(
        again=[UUID(one) for retry in retries for one in retry.again] if is_first else [],
        entered=[UUID(one) for retry in retries for one in retry.entered] if is_first else [],
        source_id=source,
        calls=calls,
        after=calls[-1][0].pk if len(calls) == CALLS_PER_PAGE else None,
    )


def _with_those_before(run_id: UUID) -> list[RunRetry]:
    """Return the retries of this run, then those of the run that it continues, and so on."""
    found: list[RunRetry] = []
    seen: set[UUID] = set()
    level = {run_id}
    while level and len(seen) < MOST_SOURCES:
        seen |= level
        own = list(RunRetry.objects.filter(flow_run__in=level).order_by("created"))
        found += own
        level = {one.source_id for one in own} - seen
    return found


MOST_SOURCES = 100


def _within(run_ids: set[UUID], above: set[UUID]) -> set[UUID]:
    """Return those of the runs that are in `above`, or nested in one of them."""
    runs_at: dict[UUID, set[UUID]] = {one: {one} for one in run_ids}
    found: set[UUID] = set()
    for _ in range(DEEPEST + 1):
        for one in runs_at.keys() & above:
            found |= runs_at.pop(one)
        if not runs_at:
            break
        higher: dict[UUID, set[UUID]] = defaultdict(set)
        parents = FlowRun.objects.filter(pk__in=list(runs_at), parent_task_run__isnull=False)
        for one, parent_id in parents.values_list("pk", "parent_task_run__flow_run_id"):
            if parent_id is not None:
                higher[parent_id] |= runs_at[one]
        runs_at = higher
    return found


def _calls_of(source_id: UUID, after: UUID | None) -> list[tuple[TaskRun, TaskRunState | None]]:
    rows = TaskRun.objects.filter(flow_run=source_id).order_by("id")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    page = list(rows.only("id", "task_key", "dynamic_key", *FOLDED)[:CALLS_PER_PAGE])
    states = current_task_run_states(page)
    return [(run, states.get(run.state_id)) for run in page]
