"""One task run after another, in the thread of the flow."""

from __future__ import annotations

from orionflow.task_runners.base import TaskRunner, Work


class SequentialTaskRunner(TaskRunner):
    """`submit()` returns when the task run has ended. For debugging, and for what must not overlap."""

    is_sequential = True

    def submit(self, work: Work) -> None:
        work()
