"""The task runs that represent subflows in their parents, wherever the subflow runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from orionflow.context import FlowRunContext, current_tags
from orionflow.contract.ids import uuid7
from orionflow.contract.states import CACHED
from orionflow.engine.crashes import reason_of
from orionflow.engine.effects import Ask, Do, Steps
from orionflow.engine.recorded import Again
from orionflow.engine.reuse import counted, is_done, recall
from orionflow.logging import flow_run_logger
from orionflow.recordable import as_text, recordable_sources, recordable_tags
from orionflow.reporting.items import Answer, Transition
from orionflow.reporting.spool import SpoolError
from orionflow.states import UNSET, Cancelled, Crashed, Pending, State, StateDetails

Sources = Mapping[str, list[dict[str, Any]]]


class Subflow:
    """A call of a nested flow: `key` identifies the flow; `inputs` is a digest of the arguments, if there is one."""

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
        # The id of the subflow run, if it is known before the run exists.
        self.child_id = child_id
        # The task run that represents the subflow, as soon as the API may know it.
        self.task_run_id: UUID | None = None
        # The subflow run, as soon as it exists.
        self.created: list[Any] = []
        self.dynamic_key = ""


def placeholder_for(parent: FlowRunContext, subflow: Subflow) -> Steps[tuple[Answer, UUID]]:
    """Create the task run that represents a subflow, or find the one of an earlier attempt of the parent."""
    position = parent.next_key(subflow.key)
    dynamic_key = position if subflow.inputs is None else counted(parent, subflow.key, subflow.inputs)
    subflow.dynamic_key = dynamic_key
    answer, id = yield from _ask(parent, subflow, position, dynamic_key)
    if subflow.inputs is None and is_done(answer) and parent.recorded is None:
        # The completed run under this number may have been called with other arguments.
        answer, id = yield from _ask(parent, subflow, position, f"{dynamic_key}-{uuid7().hex}")
    return answer, id


def _ask(parent: FlowRunContext, subflow: Subflow, position: str, dynamic_key: str) -> Steps[tuple[Answer, UUID]]:
    create: dict[str, Any] = {
        "flow_run_id": parent.id,
        "task_key": subflow.key,
        "dynamic_key": dynamic_key,
        "name": f"{subflow.name}-{parent.shown_key(position)}",
        "task_version": subflow.version,
        "tags": recordable_tags(current_tags()),
    }
    if subflow.sources:
        create["task_inputs"] = recordable_sources(subflow.sources)
    id = subflow.task_run_id = uuid7()
    # Its later states are copies of the subflow's, which may never exist, so this run has a state of its own.
    details = StateDetails(child_flow_run_id=subflow.child_id)
    state: State[Any] = Pending(id=uuid7(), timestamp=datetime.now(UTC), state_details=details)
    answer = yield Ask(parent.reporter, Transition(id, create, state, False, parent.id))
    subflow.task_run_id = answer.task_run_id or id
    return answer, subflow.task_run_id


@contextmanager
def ending_placeholder(parent: FlowRunContext, subflow: Subflow) -> Iterator[None]:
    """Report the end of the placeholder if an exception leaves this block before the subflow run is created.

    If the API is away, the report is delivered when it is back.
    """
    try:
        yield
    except BaseException as error:
        if subflow.task_run_id is not None and (isinstance(error, Exception) or not subflow.created):
            _end(parent, subflow.task_run_id, error)
        raise


def _end(parent: FlowRunContext, task_run_id: UUID, error: BaseException) -> None:
    """Report the end of a placeholder without a subflow run."""
    if isinstance(error, Exception):
        state: State[Any] = Crashed(message=f"The subflow run could not be made: {as_text(error)}")
    else:
        reason = reason_of(error)
        state = (Cancelled if reason.is_cancel else Crashed)(message=reason.message)
    state.id, state.timestamp = uuid7(), datetime.now(UTC)
    with suppress(SpoolError):
        parent.reporter.stream(Transition(task_run_id, None, state, False, parent.id))


def recorded_for(parent: FlowRunContext, subflow: Subflow, answer: Answer) -> Steps[State[Any] | Again | None]:
    """Return what the parent's source recorded for a subflow; report a state that replaces the call as its end."""
    source = parent.recorded
    if source is None:
        return None
    found = source.of_call(subflow.key, subflow.dynamic_key, answer.state)
    if not isinstance(found, State):
        return found
    if found.is_completed() and (why := (yield Do(recall, found))) is not None:
        logger = flow_run_logger(parent)
        logger.warning("The recorded result of %r cannot be used (%s), so it runs.", subflow.name, why)
        return None
    assert subflow.task_run_id is not None
    state = found.copy(name=CACHED if found.is_completed() else found.name)
    state.id, state.timestamp = uuid7(), datetime.now(UTC)
    parent.reporter.stream(Transition(subflow.task_run_id, None, state.without_value(), False, parent.id))
    if state.value is not UNSET:
        parent.lineage.add(state.value, subflow.task_run_id)
    return state


def completed_before(parent: FlowRunContext, answer: Answer) -> State[Any] | None:
    """Return the state in which an earlier attempt of the parent completed this subflow, if it did."""
    state = answer.state
    return state if parent.is_repeated and state is not None and state.is_completed() else None
