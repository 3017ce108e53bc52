"""Why a flow run failed: the task run that raised first, also within subflows, and the line of code.

All queries use the indexes of one run, or read a limited number of its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, OuterRef, Subquery

from orionflow.contract.states import SKIPPED, StateType
from runs.models import FlowRun, FlowRunState, Log, TaskRun
from runs.why.selectors.guilt import FAILURES, guilt_of

LINES_LOOKED_AT = 20
NEIGHBOURS_LOOKED_AT = 500
GOOD_RUNS_LOOKED_AT = 20
ERROR_LEVEL = 40
SAME_ERROR_WITHIN = timedelta(days=1)
FRAME = re.compile(
    r'^ *File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>.+)\n(?: +(?P<code>\S.*))?', re.MULTILINE
)
# Frames of libraries and of Python itself, which the user cannot change.
FOREIGN = re.compile(r"site-packages|dist-packages|/lib/python3|<frozen |orionflow/")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's own code in a traceback."""

    file: str
    line: int
    function: str
    code: str

    @property
    def short(self) -> str:
        """The file with its folder, and the line."""
        return f"{'/'.join(self.file.replace(chr(92), '/').split('/')[-2:])}:{self.line}"


@dataclass(frozen=True, slots=True)
class SameError:
    """Other runs of about the same time that ended with the same message."""

    runs: Sequence[FlowRun]
    is_cut: bool

    @property
    def first(self) -> FlowRun:
        return min(self.runs, key=lambda run: run.state_timestamp or run.created)


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a failure. `path` leads through subflows to the flow run that failed first: see `Guilt`."""

    error: str
    task_run: TaskRun | None
    path: Sequence[FlowRun]
    place: Place | None
    log_line: Log | None

    @property
    def flow_run(self) -> FlowRun | None:
        """The innermost subflow, if the failure was not in one of the run's own tasks."""
        return self.path[-1] if self.path else None


def cause_of(run: FlowRun, message: str) -> Cause | None:
    """Find the cause of a failed flow run; None for a run that did not fail."""
    if run.state_type not in FAILURES:
        return None
    guilt = guilt_of({run.id: message})[run.id]
    line = _logged_error(guilt.task_run.id if guilt.task_run else None, guilt.path[-1] if guilt.path else run)
    return Cause(guilt.error, guilt.task_run, guilt.path, _own_place(line.message) if line else None, line)


def _logged_error(task_run_id: UUID | None, run: FlowRun) -> Log | None:
    """Find the newest log line of the run with a traceback."""
    lines = Log.objects.filter(task_run_id=task_run_id) if task_run_id else Log.objects.filter(flow_run_id=run.id)
    newest = lines.filter(level__gte=ERROR_LEVEL).order_by("-timestamp", "-id")[:LINES_LOOKED_AT]
    return next((line for line in newest if "Traceback (most recent call last)" in line.message), None)


def _own_place(traceback: str) -> Place | None:
    """Return the innermost frame of the user's own code, or else the innermost frame."""
    frames = list(FRAME.finditer(traceback))
    if not frames:
        return None
    own = [frame for frame in frames if not FOREIGN.search(frame["file"])] or frames
    last = own[-1]
    return Place(last["file"], int(last["line"]), last["function"], (last["code"] or "").strip())


def same_error(run: FlowRun, message: str, now: datetime) -> SameError | None:
    """Find other runs that ended with the same message within a day of this one, newest first.

    For a top-level run, subflows of failed runs are left out, because the parent is counted; for a subflow, only
    subflows are returned.
    """
    if not message or run.state_type not in FAILURES or run.expected_start_time is None:
        return None
    begin = run.expected_start_time - SAME_ERROR_WITHIN
    end = min(run.expected_start_time + SAME_ERROR_WITHIN, now)
    # Messages have no index, so those of a limited number of neighbours are compared here.
    words = FlowRunState.objects.filter(pk=OuterRef("state_id")).values("message")
    neighbours = list(
        FlowRun.objects.select_related("flow")
        .only(
            "id",
            "name",
            "state_id",
            "state_type",
            "state_timestamp",
            "expected_start_time",
            "created",
            "parent_task_run_id",
            "flow__name",
        )
        .filter(state_type=run.state_type, expected_start_time__range=(begin, end))
        .annotate(words=Subquery(words), parent_type=F("parent_task_run__flow_run__state_type"))
        .order_by("-expected_start_time")[: NEIGHBOURS_LOOKED_AT + 1]
    )
    found = [one for one in neighbours[:NEIGHBOURS_LOOKED_AT] if one.words == message and one.id != run.id]
    if run.parent_task_run_id is None:
        found = [one for one in found if one.parent_type not in FAILURES]
    else:
        found = [one for one in found if one.parent_task_run_id is not None]
    return SameError(found, len(neighbours) > NEIGHBOURS_LOOKED_AT) if found else None


def last_good(run: FlowRun, *columns: str) -> FlowRun | None:
    """Find the last completed run before this one, of the same deployment or else of the same flow.

    Skipped runs are ignored. `columns` are read in addition to those that identify the run.
    """
    if run.expected_start_time is None:
        return None
    mine = {"deployment_id": run.deployment_id} if run.deployment_id else {"flow_id": run.flow_id}
    earlier = FlowRun.objects.filter(
        **mine, state_type=StateType.COMPLETED, expected_start_time__lt=run.expected_start_time
    )
    wanted = {"id", "name", "state_type", "state_name", "start_time", "total_run_time", *columns}
    if "flow__name" in wanted:
        earlier = earlier.select_related("flow")
    newest = earlier.only(*wanted).order_by("-expected_start_time")[:GOOD_RUNS_LOOKED_AT]
    return next((one for one in newest if one.state_name != SKIPPED), None)
