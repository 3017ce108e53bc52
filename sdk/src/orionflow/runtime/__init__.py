"""About the run that this code belongs to: `runtime.flow_run.id`, `runtime.task_run.name`; None outside of runs."""

from __future__ import annotations

from orionflow.runtime import flow_run, task_run

__all__ = ["flow_run", "task_run"]
