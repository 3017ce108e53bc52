"""How a task run comes to be: known by its inputs where a later attempt may look for it, and made or taken up."""

from __future__ import annotations

import logging
from typing import Any

from orionflow.engine.effects import Ask, Steps, WaitFor
from orionflow.engine.failures import logger_of
from orionflow.engine.inputs import resolved_all
from orionflow.engine.reuse import counted, digest_of_call, is_done, why_not_compared
from orionflow.engine.run_calls import TaskCall
from orionflow.errors import UnserializableError, UpstreamFailed
from orionflow.states import State, StateType

logger = logging.getLogger("orionflow.task_runs")


def report_creation(call: TaskCall) -> None:
    """Report that a task run exists, and remember it: whatever comes from now on must report how it ended."""
    call.flow_run.api.reporter.stream(call.creation())
    call.is_created = True


def start(call: TaskCall) -> None:
    """Report the run as soon as it is called, if nobody has to wait for an answer, nor for what it is known by."""
    flow_run = call.flow_run
    if flow_run.is_repeated or flow_run.strict or (_is_known_by_inputs(call) and not _identify_now(call)):
        return
    report_creation(call)


def _is_known_by_inputs(call: TaskCall) -> bool:
    """Whether a later attempt may look for what this run did; it costs next to nothing where none will."""
    return call.flow_run.keeps_results or call.task.may_store_results(call.flow_run)


def _identify_now(call: TaskCall) -> bool:
    """Whether the run can be known by its inputs already: none of them is still to come, or failed."""
    if not call.is_resolved:
        assert call.inputs is not None
        try:
            if call.inputs.pending or _resolve(call) is not None:
                return False
        except Exception as error:
            # It ends the run, which is about to meet it again, and not its caller.
            logger.debug("The value of an input of %s cannot be had.", call.name, exc_info=error)
            return False
    _identify(call)
    return True


def _identify(call: TaskCall) -> None:
    """Have the next attempt of the flow run find this run by its task and inputs."""
    task, flow_run = call.task, call.flow_run
    try:
        inputs = digest_of_call(flow_run, task.fn, call.parameters, key=task.task_key, version=task.version)
        call.dynamic_key = counted(flow_run, task.task_key, inputs)
        call.is_identified = True
    except UnserializableError as error:
        if flow_run.is_repeated:
            logger_of(call).info("%s", why_not_compared(error))


def begin(call: TaskCall) -> Steps[State[Any] | None]:
    """Make the record of the run, where that had to wait for its inputs; NotReady when one has no value."""
    not_ready: State[Any] | None = None
    if _is_known_by_inputs(call):
        if not call.is_resolved:
            not_ready = yield from take_inputs(call)
        if not_ready is None:
            _identify(call)
    if call.flow_run.is_repeated or call.flow_run.strict:
        yield from _take_up(call)
    else:
        report_creation(call)
    return not_ready


def _take_up(call: TaskCall) -> Steps[None]:
    """In a repeated attempt the run may exist: the answer says under which id, and how it ended."""
    mine = call.id
    # Also where the answer is not waited for: an end that is reported later arrives after the creation.
    call.is_created = True
    answer = yield Ask(call.flow_run.reporter, call.creation())
    if is_done(answer) and (call.refreshes or not call.is_identified):
        # Its result may be of other inputs, or is not wanted.
        call.renew()
        answer = yield Ask(call.flow_run.reporter, call.creation())
    call.id = answer.task_run_id or call.id
    call.state = answer.state
    if call.id != mine:
        call.flow_run.stored_ids[mine] = call.id


def take_inputs(call: TaskCall) -> Steps[State[Any] | None]:
    """Wait for futures among the arguments and put their values there; NotReady when one has none."""
    assert call.inputs is not None
    if pending := call.inputs.pending:
        yield WaitFor(pending)
    return _resolve(call)


def _resolve(call: TaskCall) -> State[Any] | None:
    try:
        args, kwargs = resolved_all([*call.args, *(call.wait_for or ())], call.kwargs)
    except UpstreamFailed as error:
        state = call.new_state(StateType.PENDING, "NotReady", str(error))
        state.value = error
        return state
    call.resolve_to(args[: len(call.args)], kwargs)
    return None
