"""Orion's SDK: decorate functions with `@flow` and `@task`, call them, and every state they pass through is recorded.

Names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orionflow import runtime as runtime
    from orionflow.annotations import allow_failure as allow_failure
    from orionflow.annotations import quote as quote
    from orionflow.annotations import unmapped as unmapped
    from orionflow.artifacts import create_link_artifact as create_link_artifact
    from orionflow.artifacts import create_markdown_artifact as create_markdown_artifact
    from orionflow.artifacts import create_table_artifact as create_table_artifact
    from orionflow.caching import task_input_hash as task_input_hash
    from orionflow.client import AsyncOrionClient as AsyncOrionClient
    from orionflow.client import OrionClient as OrionClient
    from orionflow.client import get_client as get_client
    from orionflow.context import get_run_context as get_run_context
    from orionflow.context import tags as tags
    from orionflow.deployments import Deployment as Deployment
    from orionflow.deployments import run_deployment as run_deployment
    from orionflow.deployments import serve as serve
    from orionflow.flows import Flow as Flow
    from orionflow.flows import flow as flow
    from orionflow.futures import Future as Future
    from orionflow.input import RunInput as RunInput
    from orionflow.input import receive_input as receive_input
    from orionflow.input import send_input as send_input
    from orionflow.logging import get_run_logger as get_run_logger
    from orionflow.options.retries import exponential_backoff as exponential_backoff
    from orionflow.pausing import pause_flow_run as pause_flow_run
    from orionflow.pausing import resume_flow_run as resume_flow_run
    from orionflow.pausing import suspend_flow_run as suspend_flow_run
    from orionflow.slots import concurrency as concurrency
    from orionflow.slots import rate_limit as rate_limit
    from orionflow.states import State as State
    from orionflow.storage import Secret as Secret
    from orionflow.tasks import Task as Task
    from orionflow.tasks import task as task
    from orionflow.variables import Variable as Variable
    from orionflow.waiting import as_completed as as_completed
    from orionflow.waiting import wait as wait

_HOME_OF = {
    "AsyncOrionClient": "client",
    "Deployment": "deployments",
    "Flow": "flows",
    "Future": "futures",
    "OrionClient": "client",
    "RunInput": "input",
    "Secret": "storage",
    "State": "states",
    "Task": "tasks",
    "Variable": "variables",
    "allow_failure": "annotations",
    "as_completed": "waiting",
    "concurrency": "slots",
    "create_link_artifact": "artifacts",
    "create_markdown_artifact": "artifacts",
    "create_table_artifact": "artifacts",
    "exponential_backoff": "options.retries",
    "flow": "flows",
    "get_client": "client",
    "get_run_context": "context",
    "get_run_logger": "logging",
    "pause_flow_run": "pausing",
    "quote": "annotations",
    "rate_limit": "slots",
    "receive_input": "input",
    "resume_flow_run": "pausing",
    "run_deployment": "deployments",
    "send_input": "input",
    "serve": "deployments",
    "suspend_flow_run": "pausing",
    "tags": "context",
    "task": "tasks",
    "task_input_hash": "caching",
    "unmapped": "annotations",
    "wait": "waiting",
}
_MODULES = frozenset({"deployments", "input", "runtime", "states", "storage", "task_runners", "testing", "variables"})

__all__ = [*_HOME_OF, "runtime"]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        found = getattr(import_module(f"orionflow.{_HOME_OF[name]}"), name)
    elif name in _MODULES:
        found = import_module(f"orionflow.{name}")
    else:
        raise AttributeError(f"module 'orionflow' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
