"""Task runners, which execute the submitted task runs of a flow.

`ConcurrentTaskRunner` (threads) is the default. To write another, derive from `TaskRunner`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from orionflow.task_runners.base import SequentialTaskRunner, TaskRunner
from orionflow.task_runners.threads import ConcurrentTaskRunner

if TYPE_CHECKING:
    from orionflow.task_runners.celery import CeleryTaskRunner
    from orionflow.task_runners.dask import DaskTaskRunner
    from orionflow.task_runners.processes import ProcessTaskRunner
    from orionflow.task_runners.ray import RayTaskRunner

__all__ = [
    "CeleryTaskRunner",
    "ConcurrentTaskRunner",
    "DaskTaskRunner",
    "ProcessTaskRunner",
    "RayTaskRunner",
    "SequentialTaskRunner",
    "TaskRunner",
]

# Loaded at first use, as loading them takes long and few programs use them.
_LATER = {
    "CeleryTaskRunner": "orionflow.task_runners.celery",
    "DaskTaskRunner": "orionflow.task_runners.dask",
    "ProcessTaskRunner": "orionflow.task_runners.processes",
    "RayTaskRunner": "orionflow.task_runners.ray",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
