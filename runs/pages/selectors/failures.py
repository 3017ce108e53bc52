"""Failed runs grouped by their error: a cause that breaks forty runs is one line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha1
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Substr

from orionflow.contract.states import BAD, in_order
from runs.lists.filters.conditions import is_tagged_with_all
from runs.models import FlowRun, FlowRunState, FlowRunTag, Occurrence, TaskRun
from runs.why.selectors.guilt import error_in, guilt_of

# The most failures of each type, newest first, that are grouped. The list of failed runs has the older ones.
LOOKED_AT = 500
LONGEST_MESSAGE = 400
# The most failed subflows of a run in which the failed task is searched.
NESTED_LOOKED_AT = 6
# Text that differs from run to run: ids, memory addresses, numbers.
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,}\b|\d+", re.IGNORECASE)
# A summary such as "2 of 40 tasks failed" does not name the cause, so only runs of the same flow are grouped by it.
_SUM = re.compile(r"^\d+ ?(?:/|of) ?\d+ ")


class FailedRun(NamedTuple):
    """A failed run with the columns that pages show. Creating model objects would take most of the time of the page."""

    id: UUID
    flow_id: UUID
    flow_name: str
    deployment_id: UUID | None
    state_type: str
    state_name: str | None
    state_timestamp: datetime | None
    message: str | None
    parent: UUID | None
    parent_type: str | None
    problem: UUID | None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Runs that failed with one error, newest first.

    `nested` are the failed subflows of the newest run, `guilty` is the task run that made it fail.
    """

    key: str
    error: str
    runs: Sequence[FailedRun]
    nested: Sequence[UUID] = ()
    guilty: TaskRun | None = None

    @property
    def newest(self) -> FailedRun:
        return self.runs[0]

    @property
    def flow_names(self) -> list[str]:
        return list(dict.fromkeys(run.flow_name for run in self.runs))

    @property
    def problem(self) -> UUID | None:
        """The problem of these runs; None for failures before Orion stored problems."""
        return self.newest.problem

    @property
    def first(self) -> datetime | None:
        return self.runs[-1].state_timestamp

    @property
    def last(self) -> datetime | None:
        return self.runs[0].state_timestamp


def error_groups(*, since: datetime, tags: Sequence[str] = ()) -> list[ErrorGroup]:
    """Return the errors of runs expected after `since`, the most frequent first. One query.

    A failed subflow is not counted if its parent run failed too.
    """
    grouped: dict[str, list[FailedRun]] = {}
    errors: dict[str, str] = {}
    nested: defaultdict[UUID | None, list[UUID]] = defaultdict(list)
    for run in map(FailedRun._make, _failed_runs(since, tags)):
        if run.parent_type in BAD:
            nested[run.parent].append(run.id)
            continue
        error = error_text(run.message, run.state_name)
        key = run.problem.hex if run.problem else fingerprint(error, run.flow_id)
        errors.setdefault(key, error)
        grouped.setdefault(key, []).append(run)
    groups = [ErrorGroup(key, errors[key], runs, _below(runs[0].id, nested)) for key, runs in grouped.items()]
    return sorted(groups, key=lambda group: len(group.runs), reverse=True)


def runs_with_error(*, key: str, since: datetime, tags: Sequence[str] = ()) -> tuple[list[UUID], str]:
    """Return the runs that `error_groups` counts for this error, and the error's text."""
    for group in error_groups(since=since, tags=tags):
        if group.key == key:
            return [run.id for run in group.runs], group.error
    return [], ""


def newest_failure_beyond(*, since: datetime, tags: Sequence[str] = ()) -> datetime | None:
    """Return when the newest run that `error_groups` is too full to look at was expected; None if it looks at all."""
    newest = [_newest(one, since, tags).values_list("expected_start_time", flat=True) for one in in_order(BAD)]
    beyond = (moment for moments in newest for moment in moments[LOOKED_AT : LOOKED_AT + 1])
    return max(filter(None, beyond), default=None)


def _below(run_id: UUID, nested: Mapping[UUID | None, Sequence[UUID]]) -> list[UUID]:
    """Return the runs nested in this one, level by level, within a level the first failure first."""
    found = [*reversed(nested.get(run_id, ()))]
    for inner in found:
        found.extend(reversed(nested.get(inner, ())))
        if len(found) >= NESTED_LOOKED_AT:
            break
    return found[:NESTED_LOOKED_AT]


def with_guilty_tasks(groups: Sequence[ErrorGroup]) -> list[ErrorGroup]:
    """Add to each group the task run that made its newest run fail. One query."""
    messages = {group.newest.id: group.newest.message for group in groups}
    guilt = guilt_of(messages, nested={one for group in groups for one in group.nested})
    return [replace(group, guilty=guilt[group.newest.id].task_run) for group in groups]


def error_text(message: str | None, state_name: str | None) -> str:
    """Return the error as one line of a list."""
    words = " ".join(error_in(message).split())
    return words[:LONGEST_MESSAGE] or f"{state_name or 'Failed'}, and its state says nothing more"


def fingerprint(error: str, flow_id: UUID) -> str:
    """Return a key that is equal for errors that differ only in numbers and ids."""
    text = _VARYING.sub("#", error)[:200]
    if _SUM.match(error):
        text = f"{flow_id} {text}"
    return sha1(text.encode(), usedforsecurity=False).hexdigest()[:10]


def _failed_runs(since: datetime, tags: Sequence[str]) -> QuerySet[Any, Any]:
    # One set of ids, because PostgreSQL would read every run for a condition with two. SQLite allows no LIMIT in a
    # union.
    newest = [_newest(one, since, tags).values("pk")[:LOOKED_AT] for one in in_order(BAD)]
    first, second = (FlowRun.objects.filter(pk__in=ids).order_by().values("pk") for ids in newest)
    message = FlowRunState.objects.filter(pk=OuterRef("state_id")).values(
        cut=Substr("message", 1, LONGEST_MESSAGE + 40)
    )
    runs = FlowRun.objects.filter(pk__in=first.union(second, all=True))
    columns = ("id", "flow_id", "flow__name", "deployment_id", "state_type", "state_name", "state_timestamp")
    parent = F("parent_task_run__flow_run_id")
    problem = Occurrence.objects.filter(pk=OuterRef("state_id")).values("problem_id")
    added = {
        "message": Subquery(message[:1]), "parent": parent, "parent_type": F("parent_task_run__flow_run__state_type"),
        "problem": Subquery(problem[:1]),
    }  # fmt: skip
    newest_first = (F("state_timestamp").desc(nulls_last=True), "-id")
    rows: QuerySet[Any, Any] = runs.annotate(**added).order_by(*newest_first).values_list(*columns, *added)
    return rows


def _newest(state_type: str, since: datetime, tags: Sequence[str]) -> QuerySet[FlowRun]:
    runs = FlowRun.objects.filter(state_type=state_type, expected_start_time__gte=since)
    if tags:
        # Not after the newest ones are chosen: failures with the tags may be older than many others.
        runs = runs.filter(is_tagged_with_all(FlowRunTag, tags))
    return runs.order_by("-expected_start_time")
