"""What a process leaves open when it is gone: task runs, and flow runs that were nested in it. They end as it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.core.states import State
from orchestration.services import Proposal, propose
from orchestration.stored import FLOW_RUNS
from runs.models import FlowRun, TaskRun

AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Remains:
    """`ended` makes their last state from a message."""

    ended: Callable[[str], State]
    message: str
    author: str
    now: datetime

    def close(self, flow_run_id: UUID) -> None:
        """In the transaction that ends the attempt: a new one may open the same task runs again right after it.

        Nested runs of a deployment have an agent of their own, which goes on with them.
        """
        nested = FlowRun.objects.unfinished().filter(parent_task_run__flow_run=flow_run_id, deployment_id__isnull=True)
        for nested_id in list(nested.order_by("pk").values_list("pk", flat=True)):
            ended = self.ended(f"The run that it is nested in is gone. {self.message}")
            propose(FLOW_RUNS, nested_id, Proposal(ended, self.now, force=True, author=self.author, new_attempt=True))
            self.close(nested_id)
        self._close_task_runs(flow_run_id)

    def _close_task_runs(self, flow_run_id: UUID) -> None:
        ended = self.ended(f"Its flow run is gone. {self.message}")
        left = TaskRun.objects.unfinished().filter(flow_run=flow_run_id)
        elsewhere = left.filter(child_flow_runs__deployment_id__isnull=False)
        ids = list(left.exclude(pk__in=elsewhere.values("pk")).order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(ids), AT_ONCE):
            items = [TaskRunTransition(run_id, None, ended, force=True) for run_id in ids[start : start + AT_ONCE]]
            apply_task_run_transitions(items=items, now=self.now, sent_at=None, author=self.author)
