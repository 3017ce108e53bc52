"""The rule that decides which task run made a flow run fail; the home page applies it to many runs at once.

A flow run fails by the task run whose error it ended with, or else by the first one that failed. If that task run
stands for a failed subflow, the search continues there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery

from orionflow.contract.states import BAD, in_order
from runs.models import FlowRun, TaskRun, TaskRunState

FAILURES = in_order(BAD)
DEEPEST = 20
# Failed task runs that are searched: even 10,000 failures usually have one reason.
FAILED_LOOKED_AT = 100
# "The flow raised KeyError: 'x'" without its first words; also for messages of other clients.
RAISED = re.compile(r"^(?:The (?:flow|task) raised |(?:Flow|Task) run encountered an exception[.:]? ?)")


@dataclass(frozen=True, slots=True)
class Guilt:
    """The error of a failure, and the task run that raised it. `path` leads to the subflow of that task run."""

    error: str
    task_run: TaskRun | None = None
    path: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed task run, the message of its state, and the subflow that it stands for."""

    task_run: TaskRun
    message: str | None
    child: UUID | None
    child_type: str | None


def error_in(message: str | None) -> str:
    """Return the error in the message of a state."""
    return RAISED.sub("", message or "")


def guilt_of(messages: Mapping[UUID, str | None], *, nested: Collection[UUID] | None = None) -> dict[UUID, Guilt]:
    """Find the guilty task runs of failed flow runs, given the messages of their states. One query for each level.

    If the failed subflows are passed as `nested`, one query is enough, and other subflows are not searched.
    """
    found = {run_id: Guilt(error_in(message)) for run_id, message in messages.items()}
    inner = {run_id: run_id for run_id in found}
    failed = _failed_tasks(found if nested is None else {*found, *nested}) if found else {}
    for _ in range(DEEPEST):
        inside: dict[UUID, UUID] = {}
        for run_id, root in inner.items():
            if tasks := failed.get(run_id):
                error, path = found[root].error, found[root].path
                guilty = next((one for one in tasks if error_in(one.message) == error), tasks[0])
                error = error_in(guilty.message) or error
                if guilty.child and guilty.child_type in FAILURES and (nested is None or guilty.child in nested):
                    inside[guilty.child] = root
                    found[root] = Guilt(error, None, (*path, guilty.child))
                else:
                    found[root] = Guilt(error, guilty.task_run, path)
        inner = inside
        if not inner:
            break
        if nested is None:
            failed = _failed_tasks(inner)
    return found


def _failed_tasks(run_ids: Collection[UUID]) -> dict[UUID | None, list[Failed]]:
    """Return the first failed task runs of each flow run, with their messages and the subflows that they stand for."""
    failed = TaskRun.objects.filter(state_type__in=FAILURES).order_by("end_time", "id")
    chosen = Q()
    for run_id in run_ids:
        chosen |= Q(pk__in=failed.filter(flow_run=run_id).values("pk")[:FAILED_LOOKED_AT])
    child = FlowRun.objects.filter(parent_task_run=OuterRef("pk"))
    rows = failed.filter(chosen).defer("task_inputs")
    rows = rows.annotate(
        words=Subquery(TaskRunState.objects.filter(pk=OuterRef("state_id")).values("message")),
        child=Subquery(child.values("pk")[:1]),
        child_type=Subquery(child.values("state_type")[:1]),
    )
    found: dict[UUID | None, list[Failed]] = defaultdict(list)
    for row in rows:
        one = Failed(row, *(getattr(row, name) for name in ("words", "child", "child_type")))
        found[row.flow_run_id].append(one)
    return found
