"""The API's answers as typed values, and the conversion of states to and from JSON.

Requests are plain dicts. Answers ignore unknown fields, so that an older client understands a newer server. Modules are
imported and models built at first use: a program that reads no artifacts does not build their validators.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orionflow.wire.answer import Answer as Answer
    from orionflow.wire.answer import AnyState as AnyState
    from orionflow.wire.answer import Details as Details
    from orionflow.wire.answer import Names as Names
    from orionflow.wire.answer import StateList as StateList
    from orionflow.wire.answer import Stored as Stored
    from orionflow.wire.encoding import clean_text as clean_text
    from orionflow.wire.encoding import encode as encode
    from orionflow.wire.encoding import prepare_for as prepare_for
    from orionflow.wire.encoding import read_answer as read_answer
    from orionflow.wire.encoding import state_from_wire as state_from_wire
    from orionflow.wire.encoding import state_to_wire as state_to_wire
    from orionflow.wire.explanations import Dependency as Dependency
    from orionflow.wire.explanations import Why as Why
    from orionflow.wire.retries import RecordedCalls as RecordedCalls
    from orionflow.wire.runs import Flow as Flow
    from orionflow.wire.runs import FlowRun as FlowRun
    from orionflow.wire.runs import OrchestrationResult as OrchestrationResult
    from orionflow.wire.runs import Run as Run
    from orionflow.wire.runs import TaskRun as TaskRun

_HOME_OF = {
    "Answer": "answer",
    "AnyState": "answer",
    "Dependency": "explanations",
    "Details": "answer",
    "Flow": "runs",
    "FlowRun": "runs",
    "Names": "answer",
    "OrchestrationResult": "runs",
    "RecordedCalls": "retries",
    "Run": "runs",
    "StateList": "answer",
    "Stored": "answer",
    "TaskRun": "runs",
    "Why": "explanations",
    "clean_text": "encoding",
    "encode": "encoding",
    "prepare_for": "encoding",
    "read_answer": "encoding",
    "state_from_wire": "encoding",
    "state_to_wire": "encoding",
}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'orionflow.wire' has no attribute {name!r}")
    found = getattr(import_module(f"orionflow.wire.{_HOME_OF[name]}"), name)
    globals()[name] = found
    return found
