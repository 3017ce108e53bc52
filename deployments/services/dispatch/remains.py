"""What a process leaves open when it dies: task runs, and flow runs that were nested in it. They crash with it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.core.states import crashed
from orchestration.services import Proposal, propose
from orchestration.stored import FLOW_RUNS
from runs.models import FlowRun, TaskRun

AT_ONCE = 1000


def crash_remains(flow_run_id: UUID, message: str, *, author: str, now: datetime) -> None:
    """In the transaction that ends the attempt: a new one may open the same task runs again right after it.

    Nested runs of a deployment have an agent of their own, which goes on with them.
    """
    nested = FlowRun.objects.unfinished().filter(parent_task_run__flow_run=flow_run_id, deployment_id__isnull=True)
    for nested_id in nested.order_by("pk").values_list("pk", flat=True):
        ended = crashed(f"The run that it is nested in is gone. {message}")
        propose(FLOW_RUNS, nested_id, Proposal(ended, now, force=True, author=author, new_attempt=True))
        crash_remains(nested_id, message, author=author, now=now)
    _crash_task_runs(flow_run_id, message, author, now)


def _crash_task_runs(flow_run_id: UUID, message: str, author: str, now: datetime) -> None:
    ended = crashed(f"Its flow run is gone. {message}")
    left = (
        TaskRun.objects.unfinished().filter(flow_run=flow_run_id).exclude(child_flow_runs__deployment_id__isnull=False)
    )
    ids = list(left.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), AT_ONCE):
        items = [TaskRunTransition(run_id, None, ended, force=True) for run_id in ids[start : start + AT_ONCE]]
        apply_task_run_transitions(items=items, now=now, sent_at=None, author=author)
