"""Task runners: where the task runs of a flow that were submitted go on.

`ConcurrentTaskRunner` (threads) is the usual one. To write another, derive from `TaskRunner`.
"""

from __future__ import annotations

from orionflow.task_runners.base import TaskRunner
from orionflow.task_runners.processes import ProcessTaskRunner
from orionflow.task_runners.sequential import SequentialTaskRunner
from orionflow.task_runners.threads import ConcurrentTaskRunner

__all__ = ["ConcurrentTaskRunner", "ProcessTaskRunner", "SequentialTaskRunner", "TaskRunner"]
