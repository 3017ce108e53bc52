"""The flow run that this code belongs to: `from orionflow.runtime import flow_run; flow_run.id`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from orionflow.context import FlowRunContext, current_tags

_FACTS: dict[str, Callable[[FlowRunContext], Any]] = {
    "id": lambda context: str(context.id),
    "name": lambda context: context.flow_run.name,
    "tags": lambda context: sorted(context.flow_run.tags),
    "run_count": lambda context: context.flow_run.run_count,
    "parameters": lambda context: dict(context.parameters),
    "flow_id": lambda context: str(context.flow_run.flow_id),
    "flow_name": lambda context: context.flow.name,
    "flow_version": lambda context: context.flow.version,
    "scheduled_start_time": lambda context: _scheduled_start_time(context),
    "parent_flow_run_id": lambda context: str(context.parent.id) if context.parent else None,
    "root_flow_run_id": lambda context: str(_root(context).id),
    "parent_deployment_id": lambda context: context.parent and context.parent.flow_run.deployment_id,
    "deployment_id": lambda context: context.flow_run.deployment_id,
    "api_url": lambda context: context.client.api_url,
}
_WITHOUT_RUN: dict[str, Callable[[], Any]] = {
    "tags": lambda: sorted(current_tags()),
    "parameters": dict,
    "run_count": lambda: 0,
}


def __getattr__(name: str) -> Any:
    if name not in _FACTS:
        raise AttributeError(f"runtime.flow_run has no {name!r}; it has {', '.join(_FACTS)}")
    context = FlowRunContext.get()
    if context is None:
        return _WITHOUT_RUN[name]() if name in _WITHOUT_RUN else None
    return _FACTS[name](context)


def __dir__() -> list[str]:
    return list(_FACTS)


def _scheduled_start_time(context: FlowRunContext) -> datetime | None:
    """Return when the run was planned; for a run of a backfill, the past time that it stands for."""
    backfilled = (context.flow_run.context or {}).get("scheduled_start_time")
    if isinstance(backfilled, str):
        with suppress(ValueError):
            return datetime.fromisoformat(backfilled)
    return context.flow_run.expected_start_time


def _root(context: FlowRunContext) -> FlowRunContext:
    while context.parent is not None:
        context = context.parent
    return context
