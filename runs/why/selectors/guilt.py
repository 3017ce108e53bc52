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
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from orchestration.sight import constants
from orchestration.tables import FLOW_RUNS, TASK_RUNS, dialect
from orionflow.contract.states import BAD, in_order
from runs.models import Flow, FlowRun, TaskRun, TaskRunState

FAILURES = in_order(BAD)
DEEPEST = 20
# Failed subflows that are read at a time, at least and for each flow run, and how often: usually those of all levels
# are read the first time.
SUBFLOWS_READ, SUBFLOWS_OF_EACH, MOST_READS = 50, 5, 3
# Failed task runs that are searched: even 10,000 failures usually have one reason.
FAILED_LOOKED_AT = 100
# "The flow raised KeyError: 'x'" without its first words; also for messages of other clients.
RAISED = re.compile(r"^(?:The (?:flow|task) raised |(?:Flow|Task) run encountered an exception[.:]? ?)")


@dataclass(frozen=True, slots=True)
class Guilt:
    """The error of a failure, and the task run that raised it. `path` leads to the subflow of that task run.

    The flow runs of the path have only an id, a name and their flow.
    """

    error: str
    task_run: TaskRun | None = None
    path: tuple[FlowRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed task run, the message of its state, and the subflow that it stands for."""

    task_run: TaskRun
    message: str | None
    child: FlowRun | None


def error_in(message: str | None) -> str:
    """Return the error in the message of a state."""
    return RAISED.sub("", message or "")


def guilt_of(messages: Mapping[UUID, str | None], *, nested: Collection[UUID] | None = None) -> dict[UUID, Guilt]:
    """Find the guilty task runs of failed flow runs, given the messages of their states.

    One query, or up to MOST_READS if more subflows failed than one reads. If the failed subflows are passed as
    `nested`, one query is enough, and other subflows are not searched.
    """
    found = {run_id: Guilt(error_in(message)) for run_id, message in messages.items()}
    inner = {run_id: run_id for run_id in found}
    failed: dict[UUID, list[Failed]] = {}
    unread, reads = {*found, *(nested or ())} if found else set(), 0
    # The flow runs whose failed subflows have all been read.
    complete: set[UUID] = set()
    for _ in range(DEEPEST):
        if unread and reads < MOST_READS:
            read, is_cut = _failed_tasks(unread, follows=nested is None)
            failed |= read
            reads += 1
            if not is_cut:
                complete |= {root for run_id, root in inner.items() if run_id in unread}
        inside: dict[UUID, UUID] = {}
        for run_id, root in inner.items():
            if tasks := failed.get(run_id):
                error, path = found[root].error, found[root].path
                guilty = next((one for one in tasks if error_in(one.message) == error), tasks[0])
                error = error_in(guilty.message) or error
                child = guilty.child
                if child and child.state_type in FAILURES and (nested is None or child.id in nested):
                    inside[child.id] = root
                    found[root] = Guilt(error, None, (*path, child))
                else:
                    found[root] = Guilt(error, guilty.task_run, path)
        inner = inside
        if not inner:
            break
        unread = {run_id for run_id, root in inner.items() if root not in complete and run_id not in failed}
    return found


def _failed_tasks(run_ids: Collection[UUID], *, follows: bool) -> tuple[dict[UUID, list[Failed]], bool]:
    """Return the first failed task runs of each flow run, with their messages and the subflows that they stand for.

    If it follows them, also of failed subflows, the nearest first; then say whether some of these may be left out.
    """
    child = FlowRun.objects.filter(parent_task_run=OuterRef("pk"))
    columns = {"child_id": "pk", "child_type": "state_type", "child_name": "name"}
    columns |= {"child_flow_id": "flow_id", "child_flow_name": "flow__name"}
    # Order by an expression: for the plain column, SQLite reads the index of all task runs.
    ended = Coalesce("end_time", "state_timestamp")
    failed = TaskRun.objects.filter(state_type__in=FAILURES).order_by(ended, "id")
    most = max(SUBFLOWS_READ, SUBFLOWS_OF_EACH * len(run_ids))
    chosen = Q(pk__in=_failed_below(run_ids, most)) if follows else Q()
    for run_id in run_ids:
        chosen |= Q(pk__in=failed.filter(flow_run=run_id).values("pk")[:FAILED_LOOKED_AT])
    rows = (
        failed.filter(chosen)
        .defer("task_inputs")
        .annotate(
            words=Subquery(TaskRunState.objects.filter(pk=OuterRef("state_id")).values("message")),
            **{name: Subquery(child.values(column)[:1]) for name, column in columns.items()},
        )
    )
    found: dict[UUID, list[Failed]] = defaultdict(list)
    for row in rows:
        subflow = None
        if row.child_id:
            flow = Flow(id=row.child_flow_id, name=row.child_flow_name)
            subflow = FlowRun(id=row.child_id, name=row.child_name, state_type=row.child_type, flow=flow)
        found[row.flow_run_id].append(Failed(row, row.words, subflow))
    children = sum(one.child is not None for some in found.values() for one in some)
    is_cut = children >= most or any(len(some) >= FAILED_LOOKED_AT for some in found.values())
    return dict(found), follows and is_cut


def _failed_below(run_ids: Collection[UUID], most: int) -> RawSQL:
    """Return the first failed task runs of the failed subflows of these flow runs: of so many, the nearest first."""
    states = constants(FAILURES)
    # SQLite keeps the order of a cross join; it might otherwise begin with all failed flow runs.
    called = (
        f"{TASK_RUNS.runs} t CROSS JOIN {FLOW_RUNS.runs} f WHERE t.state_type IN {states} "
        f"AND f.parent_task_run_id = t.id AND f.state_type IN {states}"
    )
    place = "ROW_NUMBER() OVER (PARTITION BY t.flow_run_id ORDER BY COALESCE(t.end_time, t.state_timestamp), t.id)"
    db = dialect()
    return RawSQL(  # noqa: S611  (values are bound)
        "WITH RECURSIVE below(id, depth) AS ("
        f"SELECT f.id, 1 FROM {called} AND t.flow_run_id IN ({', '.join(['%s'] * len(run_ids))}) "
        f"UNION ALL SELECT f.id, b.depth + 1 FROM below b CROSS JOIN {called} AND t.flow_run_id = b.id "
        f"AND b.depth < {DEEPEST}), "
        f"nearest AS (SELECT DISTINCT id FROM (SELECT id FROM below LIMIT {most}) AS found) "
        f"SELECT placed.id FROM (SELECT t.id, {place} AS place FROM nearest b CROSS JOIN {TASK_RUNS.runs} t "
        f"WHERE t.flow_run_id = b.id AND t.state_type IN {states}) AS placed WHERE place <= {FAILED_LOOKED_AT}",
        [db.uuid(one) for one in run_ids],
    )
