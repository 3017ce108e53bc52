"""The task run that this code belongs to: `from orionflow.runtime import task_run; task_run.name`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orionflow.context import TaskRunContext
from orionflow.engine.run_calls import TaskCall

_FACTS: dict[str, Callable[[TaskCall], Any]] = {
    "id": lambda call: str(call.id),
    "name": lambda call: call.name,
    "tags": lambda call: sorted(call.tags),
    "run_count": lambda call: call.run_count,
    "parameters": lambda call: dict(call.parameters),
    "task_name": lambda call: call.task.name,
    "task_key": lambda call: call.task.task_key,
    "flow_run_id": lambda call: str(call.flow_run.id),
}
_WITHOUT_RUN: dict[str, Callable[[], Any]] = {"tags": list, "parameters": dict, "run_count": lambda: 0}


def __getattr__(name: str) -> Any:
    if name not in _FACTS:
        raise AttributeError(f"runtime.task_run has no {name!r}; it has {', '.join(_FACTS)}")
    context = TaskRunContext.get()
    if context is None:
        return _WITHOUT_RUN[name]() if name in _WITHOUT_RUN else None
    return _FACTS[name](context.call)


def __dir__() -> list[str]:
    return list(_FACTS)
