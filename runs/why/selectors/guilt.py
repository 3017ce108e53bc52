"""The one rule for whose fault a failure is; the first page asks it for many runs at once.

A flow run fails by the task run whose error it ended with, or else by the first one that failed. A task run that stands
for a subflow which failed is followed into it.
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
# Among so many failed task runs the guilty one is looked for: 10,000 failures mostly have one reason.
FAILED_LOOKED_AT = 100
# "The flow raised KeyError: 'x'" is the error behind its first words; those of other clients are their own.
RAISED = re.compile(r"^(?:The (?:flow|task) raised |(?:Flow|Task) run encountered an exception[.:]? ?)")


@dataclass(frozen=True, slots=True)
class Guilt:
    """The error of a failure, and the task run that raised it. `path` leads to the subflow that it was in."""

    error: str
    task_run: TaskRun | None = None
    path: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """A task run that failed, the message of its state, and the subflow that it stands for."""

    task_run: TaskRun
    message: str | None
    child: UUID | None
    child_type: str | None


def error_in(message: str | None) -> str:
    """The error that the message of a state names."""
    return RAISED.sub("", message or "")


def guilt_of(messages: Mapping[UUID, str | None], *, nested: Collection[UUID] | None = None) -> dict[UUID, Guilt]:
    """Find for failed flow runs, by the messages of their states, what they failed by: a query for each level.

    Where the failed subflows are known, as `nested`, it is one query, and no other subflow is followed.
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
    """The first failed task runs of each flow run, with their messages and the subflows that they stand for."""
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
