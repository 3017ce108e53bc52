"""Task runners: where the task runs of a flow that were submitted go on.

`ConcurrentTaskRunner` (threads) is the usual one. To write another, derive from `TaskRunner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orionflow.task_runners.base import TaskRunner
from orionflow.task_runners.sequential import SequentialTaskRunner
from orionflow.task_runners.threads import ConcurrentTaskRunner

if TYPE_CHECKING:
    from orionflow.task_runners.dask import DaskTaskRunner
    from orionflow.task_runners.processes import ProcessTaskRunner

__all__ = ["ConcurrentTaskRunner", "DaskTaskRunner", "ProcessTaskRunner", "SequentialTaskRunner", "TaskRunner"]


def __getattr__(name: str) -> Any:
    # Python's multiprocessing takes its time to load, and few programs use it.
    if name == "ProcessTaskRunner":
        from orionflow.task_runners.processes import ProcessTaskRunner

        return ProcessTaskRunner
    if name == "DaskTaskRunner":
        from orionflow.task_runners.dask import DaskTaskRunner

        return DaskTaskRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
