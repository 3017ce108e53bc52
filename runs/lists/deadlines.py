"""The deadlines of a run: by when it must start and finish, and which of them it has missed."""

from __future__ import annotations

from collections.abc import Iterator

from deployments.models import Deadline
from runs.models import FlowRun
from runs.why.selectors.reasons import Reason, told


def deadlines_of(run: FlowRun) -> Iterator[Reason]:
    """Those missed, and those of a run that may still meet them. Only deployments set deadlines."""
    if run.deployment_id is None:
        return
    for deadline in Deadline.objects.filter(flow_run=run).order_by("due"):
        if deadline.missed_at is not None:
            text = f"It should have {_done(deadline)} by {told(deadline.due)}, and had not."
            yield Reason(f"missed_{deadline.kind}", text, since=deadline.due)
        elif _is_ahead(deadline, run):
            yield Reason(f"must_{deadline.kind}", f"It must {deadline.kind} by {told(deadline.due)}.", since=None)


def _is_ahead(deadline: Deadline, run: FlowRun) -> bool:
    return run.end_time is None and (deadline.kind == Deadline.Kind.FINISH or run.start_time is None)


def _done(deadline: Deadline) -> str:
    return "finished" if deadline.kind == Deadline.Kind.FINISH else "started"
