"""The task runs that stand for subflows in their parents, wherever the subflow runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from orionflow.context import FlowRunContext, current_tags
from orionflow.engine.effects import Ask, Steps
from orionflow.engine.reuse import counted, is_done
from orionflow.errors import ApiError
from orionflow.ids import uuid7
from orionflow.recordable import as_text, recordable_sources, recordable_tags
from orionflow.reporting.items import Answer, Transition
from orionflow.spool import SpoolError
from orionflow.states import Crashed, Pending, State, StateDetails

Sources = Mapping[str, list[dict[str, Any]]]


class Subflow:
    """What a parent calls: `key` tells which flow; `inputs` is a digest of what it is called with, if there is one."""

    def __init__(
        self,
        key: str,
        name: str,
        version: str | None,
        sources: Sources | None,
        inputs: str | None,
        child_id: UUID | None = None,
    ) -> None:
        self.key = key
        self.name = name
        self.version = version
        self.sources = sources
        self.inputs = inputs
        # The subflow run's, where that is known before the run is.
        self.child_id = child_id


def place_for_subflow(parent: FlowRunContext, subflow: Subflow) -> Steps[tuple[Answer, UUID]]:
    """Make the task run that stands for a subflow, or find the one of an earlier attempt of the parent."""
    position = parent.next_key(subflow.key)
    dynamic_key = position if subflow.inputs is None else counted(parent, subflow.key, subflow.inputs)
    answer, id = yield from _ask(parent, subflow, position, dynamic_key)
    if subflow.inputs is None and is_done(answer):
        # What completed under this number may have been called with something else.
        answer, id = yield from _ask(parent, subflow, position, f"{dynamic_key}-{uuid7().hex}")
    return answer, id


def _ask(parent: FlowRunContext, subflow: Subflow, position: str, dynamic_key: str) -> Steps[tuple[Answer, UUID]]:
    create: dict[str, Any] = {
        "flow_run_id": parent.id,
        "task_key": subflow.key,
        "dynamic_key": dynamic_key,
        "name": f"{subflow.name}-{position}",
        "task_version": subflow.version,
        "tags": recordable_tags(current_tags()),
    }
    if subflow.sources:
        create["task_inputs"] = recordable_sources(subflow.sources)
    id = uuid7()
    # Its later states are copies of the subflow's, which may never come to be: this run has a state of its own.
    details = StateDetails(child_flow_run_id=subflow.child_id)
    state: State[Any] = Pending(id=uuid7(), timestamp=datetime.now(UTC), state_details=details)
    try:
        answer = yield Ask(parent.reporter, Transition(id, create, state, False, parent.id))
    except ApiError as error:
        # It is kept, and recorded when the API is back.
        end_placeholder(parent, id, error)
        raise
    return answer, answer.task_run_id or id


def end_placeholder(parent: FlowRunContext, task_run_id: UUID, error: Exception) -> None:
    """There is no subflow run that could tell how it ended."""
    state: State[Any] = Crashed(
        message=f"The subflow run could not be made: {as_text(error)}", id=uuid7(), timestamp=datetime.now(UTC)
    )
    with suppress(SpoolError):
        parent.reporter.stream(Transition(task_run_id, None, state, False, parent.id))


def completed_before(parent: FlowRunContext, answer: Answer) -> State[Any] | None:
    """The state in which an earlier attempt of the parent completed this subflow, if it did."""
    state = answer.state
    return state if parent.is_repeated and state is not None and state.is_completed() else None
